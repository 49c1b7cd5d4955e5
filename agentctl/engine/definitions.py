"""Definitions as runs need them: the plan of the version a run is pinned to, and the version of each skill it calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from msgspec import MsgspecError

from agentctl.core.graph import Plan
from agentctl.core.secret_names import secrets_of
from agentctl.errors import DefinitionInvalid, IllegalTransition, StoreCorrupt
from agentctl.ports import HistoryFilter, Journals, Runs, SecretSource, StoredDefinition

# What keeps a journal from being read, and concerns no other run.
UNREADABLE = (StoreCorrupt, DefinitionInvalid, IllegalTransition, MsgspecError)

_PLANS_KEPT = 256
_REGISTERED_FOR = 7200.0  # seconds


class RunsAndJournals(Runs, Journals, Protocol):
    """What is needed of the store here."""


def stored_plan(store: Journals, version: str) -> Plan:
    """The index of a stored definition. Raises StoreCorrupt when the store lacks it."""
    return Plan(_stored(store, version).definition)


def _stored(store: Journals, version: str) -> StoredDefinition:
    stored = store.definition(version)
    if stored is None:
        raise StoreCorrupt(f"the store has no definition of version {version[:12]}, which a run in it is pinned to")
    return stored


class Registry:
    """Registers definitions in a store: each again after a while, because a store forgets those that nobody runs."""

    def __init__(self, store: Journals) -> None:
        self._store = store
        self._registered: dict[str, float] = {}  # version -> when, by the monotonic clock

    async def register(self, stored: StoredDefinition) -> None:
        """Keep the definition in the store."""
        registered = self._registered.get(stored.version)
        if registered is None or time.monotonic() - registered > _REGISTERED_FOR:
            await self._store.register(stored)
            self._registered[stored.version] = time.monotonic()


class Definitions:
    """`load_skill`: name -> the definition as it is now; raises NotFound, DefinitionInvalid.

    `secrets`: learns which secrets a run may use when its definition is loaded.
    """

    def __init__(
        self, store: RunsAndJournals, registry: Registry, load_skill: Callable[[str], StoredDefinition], secrets: SecretSource
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._registry = registry
        self._load_skill = load_skill
        self._plans: dict[str, Plan] = {}

    def plan(self, version: str) -> Plan:
        """The index of a stored definition, made once for all its runs. Raises StoreCorrupt when the store lacks it."""
        plan = self._plans.get(version)
        if plan is None:
            plan = stored_plan(self._store, version)
            self._secrets.expect(secrets_of(plan.definition))
            if len(self._plans) >= _PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[version] = plan
        return plan

    async def skill(self, run_id: str, name: str) -> StoredDefinition:
        """The version of skill `name` that run `run_id` is pinned to: that of its first call, else the one on disk now.

        Raises NotFound, DefinitionInvalid.
        """
        earlier = self._store.history(HistoryFilter(parent=run_id, name=name, limit=1))
        if earlier:
            return _stored(self._store, earlier[0].version)
        stored = self._load_skill(name)
        await self._registry.register(stored)
        return stored
