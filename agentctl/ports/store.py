"""The store: a durable ledger of runs, as one object."""

from __future__ import annotations

from typing import Protocol

from agentctl.ports.commons import Commons
from agentctl.ports.files import Files
from agentctl.ports.journals import Journals


class Store(Journals, Commons, Files, Protocol):
    """A durable ledger of runs, shared by any number of processes of one machine. Only wiring needs all of it.

    Writes are awaited and are durable (power cut included) when the await returns; writes handed in at the same time share
    one commit. Reads are plain calls and see every write that was acknowledged before them.
    Raises StoreError and its kinds; a write that failed left nothing behind and may be tried again.
    """
