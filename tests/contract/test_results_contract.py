"""What every Store promises about results that are recorded under a key (agentctl.ports.Append.keys)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agentctl.core.commands import InvalidateResult, LookupResult, ReleaseClaim, StoreResult
from agentctl.core.events import ResultFound, ResultMissing, RunCreated
from agentctl.ports import Append, KeyOrder, NewRun, Progress, Store

FIND = LookupResult("pay", "pay", "k", None)
KEEP = StoreResult("pay", "pay", "k", {"receipt": 7})
GIVE_BACK = ReleaseClaim("pay", "pay", "k")
PROGRESS = Progress(status="running", started_at=2.0, finished_at=None, steps_done=0, steps_total=1)


class Ledgers:
    """Two stores on one place, as two processes have them; each run is leased by one of them."""

    def __init__(self, *stores: Store) -> None:
        self.stores = stores

    async def create(self, run_id: str, *, by: int = 0, name: str = "demo") -> None:
        created = RunCreated(at=1.0, run_id=run_id, name=name, kind="loop", version="v")
        await self.stores[by].create([NewRun(created=created)])

    async def order(self, run_id: str, *orders: KeyOrder, by: int = 0, at: float = 2.0, forgotten: tuple[str, ...] = ()) -> None:
        """One append of that run, its lease given back with it."""
        store = self.stores[by]
        [lease] = await store.acquire([run_id])
        row = store.run(run_id)
        assert row is not None
        more = {"keys": orders, "at": at, "forgotten": forgotten}
        await store.append(Append(lease=lease, head=row.head, events=[], progress=PROGRESS, release=True, **more))

    def mail(self, run_id: str) -> list[Any]:
        return [mail.event for mail in self.stores[0].mail([run_id])]


@pytest.fixture
def ledgers(open_one: Callable[[], Store]) -> Ledgers:
    return Ledgers(open_one(), open_one())


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("rival", [0, 1])
def test_the_first_to_ask_holds_the_claim_and_the_rest_get_its_result(ledgers: Ledgers, rival: int) -> None:
    async def scenario() -> None:
        for run_id in ("r1", "r2", "r3"):
            await ledgers.create(run_id)
        await ledgers.order("r1", FIND)
        await ledgers.order("r2", FIND, by=rival)
        assert ledgers.mail("r1") == [ResultMissing(at=2.0, path="pay")]
        assert ledgers.mail("r2") == []
        assert ledgers.stores[rival].awaited_results("r2") == {"pay": "r1/pay"}
        await ledgers.order("r1", KEEP, at=5.0)
        assert ledgers.mail("r2") == [ResultFound(at=5.0, path="pay", output={"receipt": 7}, source="r1/pay")]
        assert ledgers.stores[rival].awaited_results("r2") == {}
        await ledgers.order("r3", FIND, at=6.0)
        assert ledgers.mail("r3") == [ResultFound(at=6.0, path="pay", output={"receipt": 7}, source="r1/pay")]

    play(scenario)


def test_a_claim_that_is_given_back_goes_to_the_next_in_line_and_to_no_other(ledgers: Ledgers) -> None:
    async def scenario() -> None:
        for run_id in ("r1", "r2", "r3"):
            await ledgers.create(run_id)
            await ledgers.order(run_id, FIND)
        await ledgers.order("r1", GIVE_BACK, at=3.0)
        assert ledgers.mail("r2") == [ResultMissing(at=3.0, path="pay")]
        assert ledgers.mail("r3") == []
        assert ledgers.stores[0].awaited_results("r3") == {"pay": "r2/pay"}

    play(scenario)


def test_who_is_forgotten_leaves_the_line_but_keeps_a_claim(ledgers: Ledgers) -> None:
    async def scenario() -> None:
        for run_id in ("r1", "r2"):
            await ledgers.create(run_id)
            await ledgers.order(run_id, FIND)
        await ledgers.order("r1", forgotten=("pay",))
        assert ledgers.stores[0].awaited_results("r2") == {"pay": "r1/pay"}
        await ledgers.order("r2", forgotten=("pay",))
        assert ledgers.stores[0].awaited_results("r2") == {}
        await ledgers.order("r1", GIVE_BACK)
        assert ledgers.mail("r2") == []

    play(scenario)


def test_a_result_is_good_for_its_time(ledgers: Ledgers) -> None:
    async def scenario() -> None:
        brief = LookupResult("pay", "pay", "k", 10.0)
        for run_id in ("r1", "r2", "r3"):
            await ledgers.create(run_id)
        await ledgers.order("r1", FIND)
        await ledgers.order("r1", KEEP, at=100.0)
        await ledgers.order("r2", brief, at=109.9)
        await ledgers.order("r3", brief, at=110.0)
        assert [type(event) for event in ledgers.mail("r2")] == [ResultFound]
        assert [type(event) for event in ledgers.mail("r3")] == [ResultMissing]

    play(scenario)


def test_asking_again_neither_loses_nor_doubles_a_claim(ledgers: Ledgers) -> None:
    async def scenario() -> None:
        await ledgers.create("r1")
        await ledgers.create("r2")
        for _ in range(2):
            await ledgers.order("r1", FIND)
            await ledgers.order("r2", FIND)
        assert ledgers.mail("r2") == []
        await ledgers.order("r1", GIVE_BACK)
        assert len(ledgers.mail("r2")) == 1

    play(scenario)


@pytest.mark.parametrize(("owner", "found"), [("r1", ResultMissing), ("r2", ResultFound)])
def test_only_whose_result_it_is_withdraws_it(ledgers: Ledgers, owner: str, found: type) -> None:
    async def scenario() -> None:
        for run_id in ("r1", "r2", "r3"):
            await ledgers.create(run_id)
        await ledgers.order("r1", FIND)
        await ledgers.order("r1", KEEP)
        await ledgers.order(owner, InvalidateResult("pay", "pay", "k"))
        await ledgers.order("r3", FIND)
        assert [type(event) for event in ledgers.mail("r3")] == [found]

    play(scenario)


def test_definitions_share_no_keys(ledgers: Ledgers) -> None:
    async def scenario() -> None:
        await ledgers.create("r1")
        await ledgers.create("r2", name="other")
        await ledgers.order("r1", FIND)
        await ledgers.order("r2", FIND)
        assert [type(event) for event in ledgers.mail("r2")] == [ResultMissing]

    play(scenario)


def test_an_output_of_null_is_a_result(ledgers: Ledgers) -> None:
    async def scenario() -> None:
        await ledgers.create("r1")
        await ledgers.create("r2")
        await ledgers.order("r1", FIND)
        await ledgers.order("r1", StoreResult("pay", "pay", "k", None))
        await ledgers.order("r2", FIND)
        assert [event.output for event in ledgers.mail("r2")] == [None]

    play(scenario)
