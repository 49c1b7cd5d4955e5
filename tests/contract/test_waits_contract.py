"""What every Store promises of events, of those who wait for them, and of people's answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from agentctl.core.events import ApprovalGiven, EventOffered, EventReceived, RunCreated, RunStarted
from agentctl.errors import StoreError
from agentctl.ports import NOTHING, Append, Lease, NewEvent, NewRun, OpenWait, Progress, SendResult, Store

SUBJECT = {"message": "Ship it?", "show": {"order": 7}, "form": {}, "digest": "d1"}


async def started(store: Store, *run_ids: str) -> list[Lease]:
    created = [NewRun(created=RunCreated(at=1.0, run_id=name, name="demo", kind="loop", version="v1")) for name in run_ids]
    await store.create(created)
    return await store.acquire(run_ids)


def entry(lease: Lease, *, head: int = 1, status: Any = "waiting", **more: Any) -> Append:
    progress = Progress(status=status, started_at=2.0, finished_at=None, steps_done=0, steps_total=3)
    return Append(lease=lease, head=head, progress=progress, **{"events": [RunStarted(at=2.0)], **more})


def for_event(name: str, path: str = "paid", since: float = 0.0, **more: Any) -> OpenWait:
    return OpenWait(path=path, kind="event", at=2.0, name=name, kept_since=since, **more)


def approval(path: str = "sign", digest: str = "d1", at: float = 2.0) -> OpenWait:
    return OpenWait(path=path, kind="approval", at=at, digest=digest, subject=SUBJECT)


def event(name: str, event_id: str, data: Any = None) -> NewEvent:
    return NewEvent(name, data, event_id, 0.0)


def yes(digest: str = "d1", path: str = "sign") -> ApprovalGiven:
    return ApprovalGiven(at=5.0, path=path, approved=True, digest=digest, by="ada")


def offers(store: Store, run_id: str = "r1") -> list[tuple[str, str, bool]]:
    """(path, event id, kept) of what was offered to a run, in order."""
    mail = [item.event for item in store.mail([run_id])]
    return [(offer.path, offer.event["id"], offer.kept) for offer in mail if isinstance(offer, EventOffered)]


def mail_ids(store: Store, run_id: str = "r1") -> list[int]:
    return [item.id for item in store.mail([run_id])]


def received(path: str, event_id: str) -> EventReceived:
    return EventReceived(at=3.0, path=path, event={"name": "tick", "data": None, "id": event_id, "received_at": ""})


async def refused(store: Store, lease: Lease, head: int) -> list[tuple[str, bool]]:
    """(event id, kept) of all that a run is offered while its wait refuses each, in order."""
    found: list[tuple[str, bool]] = []
    while offers(store):
        found += [(event_id, kept) for _, event_id, kept in offers(store)]
        await store.append(entry(lease, head=head, consumed=mail_ids(store)))
        head += 1
    return found


def test_an_event_goes_to_every_wait_for_its_name_and_to_no_other(store: Store) -> None:
    async def scenario() -> SendResult:
        one, two, three = await started(store, "r1", "r2", "r3")
        await store.append(entry(one, waits=[for_event("payment.received"), for_event("payment.received", "again")]))
        await store.append(entry(two, waits=[for_event("payment.received")]))
        await store.append(entry(three, waits=[for_event("payment.refused")]))
        return await store.send(event("payment.received", "e1", {"order": 7}))

    assert asyncio.run(scenario()) == SendResult(duplicate=False, delivered=["r1", "r2"])
    assert offers(store) == [("again", "e1", False), ("paid", "e1", False)]
    assert [item.event.event["data"] for item in store.mail(["r2"])] == [{"order": 7}]
    assert offers(store, "r3") == []


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("a.b.c", True),
        ("a.*.c", True),
        ("*.b.*", True),
        ("*.*.*", True),
        ("a.*", False),
        ("*", False),
        ("a.b", False),
        ("a.b.*.d", False),
        ("b.*.c", False),
        ("a.b.c*", False),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_star_stands_for_one_dotted_part(store: Store, pattern: str, fits: bool, when: str) -> None:
    async def scenario() -> None:
        [lease] = await started(store, "r1")
        if when == "before":
            await store.send(event("a.b.c", "e1"))
        await store.append(entry(lease, waits=[for_event(pattern)]))
        if when == "after":
            await store.send(event("a.b.c", "e1"))

    asyncio.run(scenario())
    assert offers(store) == ([("paid", "e1", when == "before")] if fits else [])


def test_an_event_with_a_known_id_is_dropped(store: Store, open_one: Callable[[], Store]) -> None:
    async def scenario() -> list[SendResult]:
        [lease] = await started(store, "r1")
        await store.append(entry(lease, waits=[for_event("tick")]))
        return [await store.send(event("tick", "e1")), await open_one().send(event("tick", "e1", {"other": True}))]

    assert asyncio.run(scenario()) == [SendResult(duplicate=False, delivered=["r1"]), SendResult(duplicate=True, delivered=[])]
    assert len(offers(store)) == 1


def test_events_kept_for_a_wait_are_offered_in_their_order(store: Store) -> None:
    async def scenario() -> list[tuple[str, bool]]:
        [lease] = await started(store, "r1")
        for number in range(4):
            await store.send(event("tick", f"e{number}"))
        await store.append(entry(lease, waits=[for_event("tick", "other")]))
        await store.append(entry(lease, head=2, events=[received("other", "e0")], consumed=mail_ids(store), forgotten=["other"]))
        await store.append(entry(lease, head=3, waits=[for_event("tick")]))
        await store.send(event("tick", "e4"))
        return await refused(store, lease, head=4)

    assert asyncio.run(scenario()) == [("e1", True), ("e2", True), ("e3", True), ("e4", False)]


def test_a_backlog_is_offered_a_few_at_a_time_as_long_as_the_wait_refuses(store: Store) -> None:
    async def scenario() -> list[int]:
        [lease] = await started(store, "r1")
        for number in range(200):
            await store.send(event("tick", f"e{number}"))
        await store.append(entry(lease, waits=[for_event("tick")]))
        sizes, head = [], 2
        while offers(store):
            sizes.append(len(offers(store)))
            await store.append(entry(lease, head=head, consumed=mail_ids(store)))
            head += 1
        return sizes

    assert asyncio.run(scenario()) == [1, 2, 4, 8, 16, 32, 64, 64, 9]


def test_a_run_that_takes_each_event_gets_one_mail_for_each(store: Store) -> None:
    async def scenario() -> int:
        [lease] = await started(store, "r1")
        for number in range(50):
            await store.send(event("tick", f"e{number}"))
        await store.append(entry(lease, waits=[for_event("tick", "0")]))
        for number in range(50):
            path, offered, _ = offers(store)[0]
            assert (path, offered) == (str(number), f"e{number}")
            taking = {"events": [received(path, offered)], "consumed": mail_ids(store), "forgotten": [path]}
            await store.append(entry(lease, head=number + 2, **taking, waits=[for_event("tick", str(number + 1))]))
        assert offers(store) == []
        await store.send(event("tick", "last"))
        [(number, _)] = store.mailed(0)
        return number

    assert asyncio.run(scenario()) == 51


def test_an_event_that_comes_while_an_offer_is_pending_follows_behind_it(store: Store) -> None:
    async def scenario() -> list[tuple[str, bool]]:
        [lease] = await started(store, "r1")
        await store.append(entry(lease, waits=[for_event("tick")]))
        sent = [await store.send(event("tick", f"e{number}")) for number in range(5)]
        assert {tuple(found.delivered) for found in sent} == {("r1",)}
        assert len(offers(store)) == 1
        return await refused(store, lease, head=2)

    assert asyncio.run(scenario()) == [(f"e{number}", False) for number in range(5)]


def test_an_event_that_one_wait_refused_is_there_for_the_next(store: Store) -> None:
    async def scenario() -> list[tuple[str, bool]]:
        [lease] = await started(store, "r1")
        await store.send(event("a.b", "e1"))
        await store.send(event("a.c", "e2"))
        await store.append(entry(lease, waits=[for_event("a.*")]))
        assert await refused(store, lease, head=2) == [("e1", True), ("e2", True)]
        await store.append(entry(lease, head=4, forgotten=["paid"], waits=[for_event("a.*", "next")]))
        return await refused(store, lease, head=5)

    assert asyncio.run(scenario()) == [("e1", True), ("e2", True)]


def test_a_kept_delivery_is_offered_with_its_headers(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await started(store, "r1")
        await store.send(structs.replace(event("tick", "e1"), headers={"x-github-event": "push"}))
        await store.append(entry(lease, waits=[for_event("tick")]))

    asyncio.run(scenario())
    [mail] = store.mail(["r1"])
    assert mail.event.event["headers"] == {"x-github-event": "push"}


def test_an_event_from_before_the_run_is_not_kept_for_it(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await started(store, "r1")
        await store.send(event("tick", "early"))
        begin = time.time() + 0.001
        while time.time() <= begin:
            pass
        await store.send(event("tick", "late"))
        await store.append(entry(lease, waits=[for_event("tick", since=begin)]))

    asyncio.run(scenario())
    assert offers(store) == [("paid", "late", True)]


def test_a_wait_that_is_told_again_is_offered_nothing_twice(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await started(store, "r1")
        await store.send(event("tick", "e1"))
        await store.append(entry(lease, waits=[for_event("tick")]))
        await store.append(entry(lease, head=2, waits=[for_event("tick")]))

    asyncio.run(scenario())
    assert offers(store) == [("paid", "e1", True)]


def test_a_forgotten_wait_is_offered_nothing(store: Store) -> None:
    async def scenario() -> SendResult:
        [lease] = await started(store, "r1")
        await store.append(entry(lease, waits=[for_event("tick")]))
        await store.append(entry(lease, head=2, forgotten=["paid"]))
        return await store.send(event("tick", "e1"))

    assert asyncio.run(scenario()).delivered == []
    assert store.waits("r1") == []


def test_a_wait_that_is_forgotten_and_begun_anew_in_one_commit_is_offered_what_is_kept(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await started(store, "r1")
        await store.append(entry(lease, waits=[for_event("tick")]))
        await store.send(event("tick", "e1"))
        await store.append(entry(lease, head=2, forgotten=["paid"], waits=[for_event("tick")]))

    asyncio.run(scenario())
    assert offers(store) == [("paid", "e1", False), ("paid", "e1", True)]


def test_what_a_run_emits_becomes_durable_with_its_commit_and_reaches_its_own_wait(store: Store) -> None:
    async def scenario() -> None:
        one, two = await started(store, "r1", "r2")
        await store.append(entry(two, waits=[for_event("tick")]))
        await store.append(entry(one, emitted=[(event("tick", "e1"), NOTHING)], waits=[for_event("tick")]))

    asyncio.run(scenario())
    assert offers(store) == [("paid", "e1", False)]
    assert offers(store, "r2") == [("paid", "e1", False)]


def test_an_append_that_is_refused_emits_nothing_and_waits_for_nothing(store: Store) -> None:
    async def scenario() -> None:
        [lease] = await started(store, "r1")
        with pytest.raises(StoreError):
            await store.append(entry(lease, head=9, emitted=[(event("tick", "e1"), NOTHING)], waits=[for_event("tick")]))
        assert (await store.send(event("tick", "e1"))) == SendResult(duplicate=False, delivered=[])

    asyncio.run(scenario())
    assert store.waits("r1") == []


def test_new_mail_is_told_by_its_numbers(store: Store, open_one: Callable[[], Store]) -> None:
    async def scenario() -> None:
        one, two = await started(store, "r1", "r2")
        await store.append(entry(one, waits=[for_event("tick")]))
        await store.append(entry(two, waits=[for_event("tock")]))
        await open_one().send(event("tick", "e1"))
        [(first, run_id)] = store.mailed(0)
        assert run_id == "r1"
        await open_one().send(event("tock", "e2"))
        assert [run_id for _, run_id in store.mailed(first)] == ["r2"]

    asyncio.run(scenario())


def test_an_answer_counts_once_and_only_for_what_is_shown(store: Store) -> None:
    async def scenario() -> list[bool]:
        [lease] = await started(store, "r1")
        await store.append(entry(lease, waits=[approval()]))
        attempts = [("r1", yes("d0")), ("r1", yes(path="other")), ("nobody", yes()), ("r1", yes()), ("r1", yes())]
        return [await store.answer(run_id, answer) for run_id, answer in attempts]

    assert asyncio.run(scenario()) == [False, False, False, True, False]
    assert [item.event for item in store.mail(["r1"])] == [yes()]


def test_what_is_shown_anew_wants_a_new_answer(store: Store) -> None:
    async def scenario() -> list[bool]:
        [lease] = await started(store, "r1")
        await store.append(entry(lease, waits=[approval()]))
        first = await store.answer("r1", yes())
        await store.append(entry(lease, head=2, forgotten=["sign"], waits=[approval(digest="d2")]))
        return [first, await store.answer("r1", yes("d1")), await store.answer("r1", yes("d2"))]

    assert asyncio.run(scenario()) == [True, False, True]


def test_the_inbox_has_what_waits_for_people_oldest_first(store: Store) -> None:
    async def scenario() -> None:
        one, two = await started(store, "r1", "r2")
        unknown = OpenWait(path="charge", kind="unknown", at=1.0, subject={"error": {"type": "step.unknown_outcome"}})
        await store.append(entry(one, waits=[approval(at=3.0), approval("answered"), for_event("tick")]))
        await store.append(entry(two, waits=[unknown]))
        await store.answer("r1", yes(path="answered"))

    asyncio.run(scenario())
    assert [(found.run_id, found.path, found.kind) for found in store.inbox()] == [
        ("r2", "charge", "unknown"),
        ("r1", "sign", "approval"),
    ]
    assert store.inbox()[1].subject == SUBJECT
    assert [(found.path, found.answered) for found in store.waits("r1")] == [("answered", 5.0), ("paid", None), ("sign", None)]


def test_a_large_event_arrives_whole(store: Store) -> None:
    text = "x" * (2 << 20)

    async def scenario() -> None:
        [lease] = await started(store, "r1")
        await store.send(event("big", "e1", text))
        await store.append(entry(lease, waits=[for_event("big")]))

    asyncio.run(scenario())
    assert [item.event.event["data"] for item in store.mail(["r1"])] == [text]
