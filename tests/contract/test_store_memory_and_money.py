"""What every Store promises of memory, accounts, feedback and figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agentctl.core.events import Account, ChildFinished, RunCreated, RunRecovered, RunStarted, StepStarted, StepSucceeded, Usage
from agentctl.errors import LeaseLost
from agentctl.ports import Append, Feedback, Lease, NewRun, Progress, Refusal, Reservation, Settlement, Store

Factory = Callable[[], Store]


async def leased(store: Store, run_id: str, at: float = 1.0, name: str = "demo") -> Lease:
    created = RunCreated(at=at, run_id=run_id, name=name, kind="loop", version="v")
    await store.create([NewRun(created=created)])
    [lease] = await store.acquire([run_id])
    return lease


def entry(lease: Lease, head: int, *events: Any, status: Any = "running", usage: Usage | None = None, **more: Any) -> Append:
    finished = None if status == "running" else 9.0
    progress = Progress(status=status, started_at=2.0, finished_at=finished, steps_done=0, steps_total=1, usage=usage)
    return Append(lease=lease, head=head, events=events or (RunStarted(at=2.0),), progress=progress, **more)


DAY = Account("day/demo/2026-11-23", tokens=250)


def room(path: str, tokens: int = 100, *accounts: Account) -> Reservation:
    return Reservation(path, tokens, accounts or (DAY,))


# --- memory --------------------------------------------------------------------------------------------------------


def test_what_a_commit_remembers_is_the_state_of_the_runs_name(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, remember={"cursor": 7, "seen": ["a", None]}))
        await store.append(entry(lease, 2, remember={"cursor": 8}))

    asyncio.run(scenario())
    assert store.memory("demo") == {"cursor": 8, "seen": ["a", None]}
    assert store.memory("other") == {}


def test_a_run_that_has_not_started_is_leased_with_what_its_name_remembers(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, remember={"cursor": 7}, release=True))
        assert (await leased(store, "r2")).memory == {"cursor": 7}
        assert (await leased(store, "r3", name="other")).memory == {}
        assert [lease.memory for lease in await store.acquire(["r1"])] == [{}]

    asyncio.run(scenario())


def test_a_refused_commit_remembers_nothing(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        with pytest.raises(LeaseLost):
            await store.append(entry(lease, 5, remember={"cursor": 7}))

    asyncio.run(scenario())
    assert store.memory("demo") == {}


def test_a_person_sets_and_unsets_values_and_large_ones_survive(store: Store) -> None:
    large = "x" * 2_000_000
    asyncio.run(edited(store, {"big": large, "null": None, "gone": 1}, ()))
    asyncio.run(edited(store, {}, ["gone", "never"]))
    assert store.memory("demo") == {"big": large, "null": None}


async def edited(store: Store, values: dict[str, Any], unset: Any) -> None:
    await store.remember("demo", values, unset)


# --- accounts ------------------------------------------------------------------------------------------------------


def test_reservations_of_all_runs_share_an_account_and_what_does_not_fit_is_refused(store: Store) -> None:
    async def scenario() -> list[list[Refusal]]:
        leases = [await leased(store, f"r{n}") for n in range(3)]
        together = [store.append(entry(lease, 1, reserve=[room("ask")])) for lease in leases]
        return [list(appended.refused) for appended in await asyncio.gather(*together)]

    first, second, third = asyncio.run(scenario())
    assert (first, second) == ([], [])
    assert third == [Refusal("ask", DAY, spent=0, usd=0.0, reserved=200, wanted=100)]


def test_an_answer_settles_what_was_reserved_for_it(store: Store) -> None:
    async def scenario() -> list[Refusal]:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, reserve=[room("a"), room("b")]))
        await store.append(entry(lease, 2, settle=[Settlement("a", Usage(input_tokens=20, output_tokens=15, usd=0.5))]))
        return list((await store.append(entry(lease, 3, reserve=[room("c"), room("d")]))).refused)

    assert asyncio.run(scenario()) == [Refusal("d", DAY, spent=35, usd=0.5, reserved=200, wanted=100)]


def test_a_call_that_never_said_what_it_cost_stays_spent(open_one: Factory) -> None:
    async def scenario() -> list[Refusal]:
        first = open_one()
        lease = await leased(first, "r1")
        await first.append(entry(lease, 1, reserve=[room("a", 200)]))
        await first.release([lease])
        second = open_one()
        [lease] = await second.acquire(["r1"])
        recovered = entry(lease, 2, RunRecovered(at=3.0), settle=[Settlement(None, None)], reserve=[room("a")])
        return list((await second.append(recovered)).refused)

    assert asyncio.run(scenario()) == [Refusal("a", DAY, spent=200, usd=0.0, reserved=0, wanted=100)]


def test_a_call_is_reserved_in_all_of_its_accounts_or_in_none(store: Store) -> None:
    run, small = Account("run/r1", tokens=1000), Account("run/above", tokens=50)

    async def scenario() -> list[Any]:
        lease = await leased(store, "r1")
        first = await store.append(entry(lease, 1, reserve=[room("a", 100, run, small)]))
        second = await store.append(entry(lease, 2, reserve=[room("b", 1000, run)]))
        return [first.refused, second.refused]

    assert [[refusal.account for refusal in refused] for refused in asyncio.run(scenario())] == [[small], []]


def test_dollars_that_are_spent_refuse_the_next_call(store: Store) -> None:
    account = Account("run/r1", usd=0.10)

    async def scenario() -> list[Any]:
        lease = await leased(store, "r1")
        first = (await store.append(entry(lease, 1, reserve=[room("a", 5, account)]))).refused
        await store.append(entry(lease, 2, settle=[Settlement("a", Usage(usd=0.11))]))
        return [first, (await store.append(entry(lease, 3, reserve=[room("b", 5, account)]))).refused]

    first, second = asyncio.run(scenario())
    assert (first, [refusal.usd for refusal in second]) == ((), [0.11])


# --- feedback ------------------------------------------------------------------------------------------------------


def test_each_author_has_one_verdict_on_a_run_the_last_one(store: Store) -> None:
    async def scenario() -> None:
        await leased(store, "r1")
        await store.give_feedback("r1", "good", by="ann")
        await store.give_feedback("r1", "bad", "it was slow", by="reviewer", person=False)
        await store.give_feedback("r1", "false-positive", "the disk was fine", by="ann")

    asyncio.run(scenario())
    [(run_id, [loop, person])] = store.feedback(["r1", "r2"]).items()
    assert run_id == "r1"
    assert loop == Feedback(verdict="bad", note="it was slow", by="reviewer", person=False, at=loop.at)
    assert person == Feedback(verdict="false-positive", note="the disk was fine", by="ann", person=True, at=person.at)


def test_people_come_last_among_those_who_gave_feedback(store: Store) -> None:
    async def scenario() -> None:
        await leased(store, "r1")
        for name, person in (("zoe", True), ("ann", True), ("reviewer", False), ("auditor", False)):
            await store.give_feedback("r1", "good", by=name, person=person)

    asyncio.run(scenario())
    assert [given.by for given in store.feedback(["r1"])["r1"]] == ["reviewer", "auditor", "zoe", "ann"]


# --- figures -------------------------------------------------------------------------------------------------------


def test_figures_are_of_the_runs_of_the_time_by_definition(store: Store) -> None:
    async def scenario() -> None:
        for number, status in enumerate(["succeeded", "succeeded", "succeeded", "failed"]):
            lease = await leased(store, f"r{number}", at=10.0 + number)
            usage = Usage(input_tokens=10, usd=0.25) if number else None
            await store.append(entry(lease, 1, status=status, usage=usage, release=True))
        await leased(store, "other", at=50.0, name="other")

    asyncio.run(scenario())
    demo, other = store.statistics()
    assert (demo.name, demo.runs, demo.succeeded, demo.failed, demo.success_rate) == ("demo", 4, 3, 1, 0.75)
    assert (demo.p50, demo.p95, demo.saved) == (7.0, 7.0, None)
    assert demo.usage == Usage(input_tokens=30, usd=0.75)
    assert (other.name, other.runs, other.success_rate, other.p50) == ("other", 1, None, None)
    assert [one.runs for one in store.statistics(since=12.0, name="demo")] == [2]


def test_saved_is_what_a_run_that_went_on_did_not_buy_again(open_one: Factory) -> None:
    def bought(path: str, tokens: int) -> list[Any]:
        cost = Usage(output_tokens=tokens, usd=tokens / 100)
        return [StepStarted(at=2.0, path=path), StepSucceeded(at=3.0, path=path, attempt=1, usage=cost)]

    child = ChildFinished(at=3.0, path="skill", run_id="c", status="succeeded", usage=Usage(output_tokens=1000))
    first = [RunStarted(at=2.0), *bought("a", 1), *bought("b", 10), child, StepStarted(at=4.0, path="cut")]
    then = [RunRecovered(at=5.0), *bought("cut", 100), RunRecovered(at=6.0), *bought("b", 10)]

    async def scenario() -> None:
        store = open_one()
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, *first, usage=Usage(output_tokens=1)))
        await store.release([lease])
        [lease] = await store.acquire(["r1"])
        await store.append(entry(lease, 1 + len(first), *then, usage=Usage(output_tokens=1)))

    asyncio.run(scenario())
    [demo] = open_one().statistics()
    # recovered first: a, b and the skill were kept; then: a, the skill and `cut`, while b was bought again
    assert demo.saved is not None
    assert demo.saved.output_tokens == (1 + 10 + 1000) + (1 + 1000 + 100)
