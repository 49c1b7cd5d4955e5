"""What every Store promises of the runs that an event starts, and of events that are gathered for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from agentctl.core.events import RunCreated, RunStarted
from agentctl.core.flow import Limits, Place
from agentctl.errors import LeaseLost
from agentctl.ports import Append, Deployment, Gather, Gathered, Lease, NewEvent, NewRun, Progress, SendResult, Store, Triggered

AHEAD = 4e9  # events of the tests are received at times of their own, which lie after any real clock


def event(event_id: str, at: float = 0.0, name: str = "tick") -> NewEvent:
    return NewEvent(name, {"n": event_id}, event_id, AHEAD + at)


def run(run_id: str, name: str = "demo") -> NewRun:
    """Made by who does not know yet when the event will be received."""
    created = RunCreated(at=1.0, run_id=run_id, name=name, kind="loop", version="v1", trigger="event", event={"id": "?"})
    return NewRun(created=created)


def runs(*run_ids: str) -> Triggered:
    return Triggered(runs=[run(run_id) for run_id in run_ids])


def gather(seconds: float, size: int | None = None, group: str = "") -> Triggered:
    return Triggered(gather=[Gather(name="demo", trigger=0, group=group, seconds=seconds, size=size)])


async def deploy(store: Store, name: str = "demo") -> None:
    await store.deploy([Deployment(name=name, kind="loop", file="x.yaml", version="v1", deployed_at=1.0)], {name: ["tick"]})


def ids(found: Gathered) -> list[str]:
    return [one["id"] for one in found.events]


# --- runs --------------------------------------------------------------------------------------------------------------


def test_an_event_and_the_runs_it_starts_are_kept_together(store: Store) -> None:
    async def scenario() -> SendResult:
        return await store.send(event("e1"), runs("a", "b"))

    sent = asyncio.run(scenario())
    assert [(one.run_id, one.outcome) for one in sent.started] == [("a", "created"), ("b", "created")]
    assert [store.run(name).status for name in ("a", "b")] == ["queued", "queued"]


def test_a_run_knows_its_event_as_it_was_received(store: Store) -> None:
    async def scenario() -> None:
        await store.send(event("e1", at=5.5), runs("a"))

    asyncio.run(scenario())
    kept = {"name": "tick", "data": {"n": "e1"}, "id": "e1", "received_at": "2096-10-02T07:06:45.500Z"}
    [created] = store.journal("a")
    assert store.run("a").event == created.event == kept


def test_the_headers_of_a_delivery_go_wherever_its_event_does(store: Store) -> None:
    delivery = structs.replace(event("e1"), headers={"x-github-event": "push"})

    async def scenario() -> None:
        await deploy(store)
        await store.send(delivery, Triggered([run("a")], gather(5).gather))

    asyncio.run(scenario())
    [pile] = store.gathered(AHEAD * 2)
    assert store.run("a").event == pile.events[0] == delivery.document(AHEAD)
    assert delivery.document(AHEAD)["headers"] == {"x-github-event": "push"}


def test_an_event_with_a_known_id_starts_nothing(store: Store, open_one: Callable[[], Store]) -> None:
    async def scenario() -> list[SendResult]:
        await deploy(store)
        first = await store.send(event("e1"), runs("a"))
        second = await open_one().send(event("e1"), Triggered([run("b")], gather(5).gather))
        return [first, second]

    assert [sent.duplicate for sent in asyncio.run(scenario())] == [False, True]
    assert store.run("b") is None
    assert store.gathered(AHEAD * 2) == []


def test_of_two_events_with_one_id_in_one_commit_the_first_counts(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await leased(store, "r1")
        await store.append(entry(lease, emitted=[(event("e1"), runs("a")), (event("e1"), runs("b"))]))

    asyncio.run(scenario())
    assert (store.run("a").status, store.run("b")) == ("queued", None)


async def leased(store: Store, run_id: str) -> list[Lease]:
    await store.create([run(run_id)])
    return await store.acquire([run_id])


def entry(lease: Lease, *, head: int = 1, **more: object) -> Append:
    progress = Progress(status="running", started_at=2.0, finished_at=None, steps_done=0, steps_total=1)
    return Append(lease=lease, head=head, events=[RunStarted(at=2.0)], progress=progress, **more)


def test_what_a_run_emits_starts_its_runs_with_the_commit_or_not_at_all(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await leased(store, "r1")
        with pytest.raises(LeaseLost):
            await store.append(entry(lease, head=7, emitted=[(event("e1"), runs("a"))]))
        assert store.run("a") is None
        await store.append(entry(lease, emitted=[(event("e1"), runs("a"))]))

    asyncio.run(scenario())
    assert store.run("a").status == "queued"
    assert store.run("a").event["id"] == "e1"


def test_a_run_that_ends_leaves_its_place_to_what_its_last_event_starts(store: Store) -> None:
    only_one = Limits(places=(Place("demo concurrency", 1, "skip"),))

    def limited(run_id: str) -> NewRun:
        return structs.replace(run(run_id), limits=only_one)

    async def scenario() -> None:
        await store.create([limited("r1")])
        [lease] = await store.acquire(["r1"])
        refused = await store.send(event("e0"), Triggered([limited("a")]))
        assert [one.outcome for one in refused.started] == ["skipped"]
        ended = Progress(status="succeeded", started_at=2.0, finished_at=3.0, steps_done=1, steps_total=1)
        last = [(event("e1"), Triggered([limited("b")]))]
        await store.append(Append(lease=lease, head=1, events=[RunStarted(at=2.0)], progress=ended, emitted=last, release=True))

    asyncio.run(scenario())
    assert (store.run("a"), store.run("b").status) == (None, "queued")


# --- what is gathered --------------------------------------------------------------------------------------------------


def test_a_debounce_is_due_once_it_was_quiet_and_only_the_newest_event_is_left(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        for number, at in enumerate((0.0, 3.0, 6.0)):
            sent = await store.send(event(f"e{number}", at), gather(5))
            assert (sent.gathered, sent.started) == (["demo"], [])

    asyncio.run(scenario())
    assert store.gathered_due() == AHEAD + 11
    assert store.gathered(AHEAD + 10.9) == []
    assert [ids(found) for found in store.gathered(AHEAD + 11)] == [["e2"]]


def test_a_batch_is_due_when_its_oldest_event_has_waited_or_at_once_when_it_is_full(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        await store.send(event("e0", 0), gather(60, size=3))
        await store.send(event("e1", 1), gather(60, size=3))
        assert store.gathered(AHEAD + 59) == []
        assert [ids(found) for found in store.gathered(AHEAD + 60)] == [["e0", "e1"]]
        await store.send(event("e2", 2), gather(60, size=3))

    asyncio.run(scenario())
    assert [ids(found) for found in store.gathered(AHEAD + 2)] == [["e0", "e1", "e2"]]


def test_gathered_events_keep_the_depth_of_their_chain(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        for number, depth in enumerate((3, 9, 0)):
            [wanted] = gather(5, size=3).gather
            await store.send(event(f"e{number}", number), Triggered(gather=[structs.replace(wanted, depth=depth)]))

    asyncio.run(scenario())
    assert [found.depth for found in store.gathered(AHEAD + 9)] == [9]


def test_a_batch_gives_its_run_the_oldest_and_the_rest_waits_on(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        for number in range(5):
            await store.send(event(f"e{number}", number), gather(60, size=2))
        for expected in (["e0", "e1"], ["e2", "e3"]):
            [found] = store.gathered(AHEAD + 5)
            assert ids(found) == expected
            admission = await store.release_gathered(found, run("+".join(expected)))
            assert admission is not None
            assert admission.outcome == "created"

    asyncio.run(scenario())
    assert store.gathered(AHEAD + 5) == []
    assert store.gathered_due() == AHEAD + 64
    assert store.run("e0+e1").status == store.run("e2+e3").status == "queued"


def test_a_debounce_that_got_another_event_meanwhile_is_not_released(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        await store.send(event("e0"), gather(5))
        [found] = store.gathered(AHEAD + 5)
        await store.send(event("e1", 6), gather(5))
        assert await store.release_gathered(found, run("a")) is None

    asyncio.run(scenario())
    assert store.run("a") is None
    assert [ids(found) for found in store.gathered(AHEAD + 11)] == [["e1"]]


def test_a_batch_that_got_another_event_meanwhile_is_released_without_it(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        await store.send(event("e0"), gather(5, size=9))
        [found] = store.gathered(AHEAD + 5)
        await store.send(event("e1", 6), gather(5, size=9))
        assert (await store.release_gathered(found, run("a"))) is not None

    asyncio.run(scenario())
    assert store.gathered_due() == AHEAD + 11
    assert [ids(found) for found in store.gathered(AHEAD + 11)] == [["e1"]]


def test_what_two_release_becomes_one_run(store: Store, open_one: Callable[[], Store]) -> None:
    async def scenario() -> list[object]:
        await deploy(store)
        for number in range(4):
            await store.send(event(f"e{number}"), gather(0, size=2))
        other = open_one()
        [found], [same] = store.gathered(AHEAD), other.gathered(AHEAD)
        return [await store.release_gathered(found, run("a")), await other.release_gathered(same, run("b"))]

    first, second = asyncio.run(scenario())
    assert first is not None
    assert second is None
    assert store.run("b") is None
    assert [ids(found) for found in store.gathered(AHEAD)] == [["e2", "e3"]]


def test_groups_are_gathered_apart(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        await store.send(event("e0", 0), gather(5, group="a"))
        await store.send(event("e1", 1), gather(5, group="b"))
        await store.send(event("e2", 2), gather(5, group="a"))

    asyncio.run(scenario())
    assert [(found.group, ids(found)) for found in store.gathered(AHEAD + 9)] == [("b", ["e1"]), ("a", ["e2"])]


def test_of_a_definition_that_is_paused_or_gone_nothing_is_due(store: Store) -> None:
    async def scenario() -> None:
        await deploy(store)
        await store.send(event("e0"), gather(5))
        await store.pause("demo", 7.0)
        assert (store.gathered(AHEAD + 9), store.gathered_due()) == ([], None)
        await store.unpause("demo", 8.0)

    asyncio.run(scenario())
    assert [ids(found) for found in store.gathered(AHEAD + 9)] == [["e0"]]


def test_a_reopened_store_has_what_was_gathered(store: Store, open_one: Callable[[], Store]) -> None:
    async def scenario() -> None:
        await deploy(store)
        await store.send(event("e0"), gather(5, size=10))

    asyncio.run(scenario())
    store.close()
    assert [ids(found) for found in open_one().gathered(AHEAD + 9)] == [["e0"]]
