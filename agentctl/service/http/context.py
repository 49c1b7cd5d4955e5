"""What the HTTP interface uses of the service that it is part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agentctl.ports import Clock, NewEvent, SecretSource, Sent, Starts, Store, StoredDefinition, Triggers
from agentctl.service.http.figures import Figures
from agentctl.service.http.token import Token

JSON = Any


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`definitions`: those that may be triggered, by name.  `unready`: why the service is not ready, in sentences; empty: it is.

    `stir`: there is something new in the store, of our own making; returns at once.
    """

    token: Token
    store: Store
    clock: Clock
    secrets: SecretSource
    triggers: Triggers
    definitions: Callable[[], Mapping[str, StoredDefinition]]
    unready: Callable[[], Sequence[str]]
    stir: Callable[[], None]
    figures: Figures

    async def record(self, event: NewEvent, starts: Starts) -> dict[str, JSON]:
        """Keep an event with what it starts; what to answer, once it is durable. Raises StoreError."""
        begun = self.figures.commit_begins()
        sent = await self.store.send(event, starts)
        self.figures.committed(begun, duplicate=sent.duplicate)
        if not sent.duplicate:
            self.stir()
        return document(event.id, sent)


def document(event_id: str, sent: Sent) -> dict[str, JSON]:
    """As `agentctl send --json` prints it."""
    started = [admission.run_id for admission in sent.started if admission.outcome == "created"]
    return {"event_id": event_id, "duplicate": sent.duplicate, "started": started, "delivered": sent.delivered}
