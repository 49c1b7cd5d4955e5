"""Finding the patterns that match the name of an event (`language.event_names`) by seeks in an index of the patterns.

Of ten thousand patterns only those are looked at that begin as the name does.
"""

from __future__ import annotations

import sqlite3

LAST_CHARACTER = "\U0010ffff"


def matching(connection: sqlite3.Connection, name: str, any_between: str) -> list[str]:
    """The patterns under which there may be something for `name`: each part as it is or `*`, as far as any of them begins so.

    `any_between`: a query with two parameters that returns a row when there is a pattern that is not before the first and is
    before the second.
    """
    *parts, last = name.split(".")
    beginnings = [""]
    for part in parts:
        longer = [f"{beginning}{form}." for beginning in beginnings for form in (part, "*")]
        beginnings = [text for text in longer if connection.execute(any_between, (text, text + LAST_CHARACTER)).fetchone()]
    return [beginning + form for beginning in beginnings for form in (last, "*")]
