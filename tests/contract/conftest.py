"""The stores that have to keep the contract. Another implementation of `ports.Store` is tried by adding it to `STORES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentctl.ports import Store
from agentctl.store.ledger import open_store

STORES = {"sqlite": open_store}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the store is: in folders that are not there yet."""
    return tmp_path / "project" / ".agentctl" / "agentctl.db"


@pytest.fixture(params=STORES.values(), ids=STORES)
def open_one(request: pytest.FixtureRequest, place: Path) -> Iterator[Callable[..., Store]]:
    """Opens the same store, each time as another process would; with the options of `open_store`."""
    opened: list[Store] = []

    def factory(**more: bool) -> Store:
        opened.append(request.param(place, **more))
        return opened[-1]

    yield factory
    for store in opened:
        store.close()


@pytest.fixture
def store(open_one: Callable[..., Store]) -> Store:
    return open_one()
