"""A small support desk: tickets in a file, answers in an outbox. It stands for your ticket system and your mail service."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

SCHEMA = """
create table if not exists outbox (
    number integer primary key,
    key text not null unique,       -- the idempotency key of the step that sent it
    ticket text not null unique,    -- one answer a ticket, whoever sends it
    recipient text not null,
    text text not null
)
"""


def outbox() -> sqlite3.Connection:
    connection = sqlite3.connect("outbox.db", timeout=30)
    connection.execute(SCHEMA)
    return connection


def open_tickets() -> list[dict[str, Any]]:
    """The tickets that have no answer yet, in the order of the queue."""
    with closing(outbox()) as connection:
        answered = {ticket for (ticket,) in connection.execute("select ticket from outbox")}
    tickets = json.loads(Path("tickets.json").read_text(encoding="utf-8"))
    return [ticket for ticket in tickets if ticket["id"] not in answered]


def send(ticket: str, recipient: str, text: str) -> dict[str, Any]:
    """Send an answer. A key that was seen sends nothing again: the first answer's number comes back.

    A step that is killed while it executes is executed again on resume, with the same key. `$MAIL_SECONDS` makes the mail
    service as slow as you like.
    """
    key = os.environ["AGENTCTL_IDEMPOTENCY_KEY"]
    time.sleep(float(os.environ.get("MAIL_SECONDS", "0")))
    with closing(outbox()) as connection, connection:
        connection.execute(
            "insert or ignore into outbox (key, ticket, recipient, text) values (?, ?, ?, ?)", (key, ticket, recipient, text)
        )
        (number,) = connection.execute("select number from outbox where ticket = ?", (ticket,)).fetchone()
    return {"number": number}
