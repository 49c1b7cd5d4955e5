"""Killed before and after every commit around a wait: each event is handed over once, each signature counts once.

The event is sent while a step before the wait executes, in the very turn in which the wait begins, or once the run rests. A
sender who was killed before it heard of its event sends it again under the same id, as any sender would.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentctl.core.events import AnyEvent, ApprovalGiven, EventReceived
from agentctl.engine.engine import Engine
from agentctl.ports import Call
from agentctl.store.db import failpoint
from agentctl.testing.definitions import approve, set_step, stored, task, wait_for_event
from agentctl.testing.fixtures import World

STORY = stored(
    "story",
    task("before"),
    wait_for_event("one", "payment.received"),
    task("tell", {"event": "order.shipped", "data": {"by": "${{ run.id }}"}}, uses="emit"),
    wait_for_event("two", "order.*"),
    approve("sign", "Close it?", {"paid": "${{ steps.one.output.id }}"}),
    set_step("end", one="${{ steps.one.output.id }}", two="${{ steps.two.output.id }}", by="${{ steps.sign.output.by }}"),
)
LISTENER = stored("listener", wait_for_event("first", "order.shipped"), wait_for_event("second", "order.shipped"))
FAR_MORE_THAN_ENOUGH = 500


def world_in(root: Path, when: str) -> World:
    world = World(root)
    engines: list[Engine] = []
    sending: list[asyncio.Task[object]] = []

    async def send(call: Call) -> str:
        if not engines:
            engines.append(world.engine())
        sender = engines[0].send("payment.received", {"amount": 5}, "e1")
        if when == "before":
            await sender
        else:  # it is written together with what follows from the end of this step
            sending.append(asyncio.ensure_future(sender))
        return "sent"

    if when in ("before", "together"):
        world.shell.behave["before"] = send
    return world


async def life(engine: Engine, root: Path) -> str:
    """Everybody does their part, as often as it takes; returns the id of the run."""
    note = root / "ids"
    if not note.exists():
        ids = [await engine.create(definition, {}) for definition in (LISTENER, STORY)]
        (root / "aside").write_text(" ".join(ids))
        (root / "aside").rename(note)
    listener, run_id = note.read_text().split()
    await engine.drive(listener, until="rest")
    await engine.drive(run_id, until="rest")
    await engine.send("payment.received", {"amount": 5}, "e1")
    await engine.drive(run_id, until="rest")
    for waiting in engine.store.inbox():
        answer = ApprovalGiven(at=1.0, path=waiting.path, approved=True, digest=waiting.digest, by="ada")
        await engine.approve(waiting.run_id, answer)
    await engine.drive(run_id)
    await engine.drive(listener, until="rest")
    return run_id


def survives(point: int, root: Path, when: str) -> bool:
    """False: the process of its own did not come to that crash point before the end."""

    async def scenario(engine: Engine) -> None:
        failpoint._points = failpoint.CrashPoints(point, None)
        await life(engine, root)
        (root / "undisturbed").touch()

    world_in(root, when).killed(scenario)
    return not (root / "undisturbed").exists()


def received(events: list[AnyEvent]) -> list[str]:
    return [event.event["id"] for event in events if isinstance(event, EventReceived)]


@pytest.mark.parametrize("when", ["before", "together", "after"])
def test_killed_at_any_commit_every_event_is_taken_once_and_every_signature_counts_once(tmp_path: Path, when: str) -> None:
    for point in range(1, FAR_MORE_THAN_ENOUGH):
        root = tmp_path / str(point)
        root.mkdir()
        was_killed = survives(point, root, when)
        world = world_in(root, when)
        engine = world.engine()
        run_id = asyncio.run(asyncio.wait_for(life(engine, root), 20))
        listener = (root / "ids").read_text().split()[0]
        row, events = engine.store.run(run_id), list(engine.store.journal(run_id))
        assert row is not None
        shipped = f"{run_id}/tell"
        assert (row.status, row.output) == ("succeeded", {"one": "e1", "two": shipped, "by": "ada"}), point
        assert received(events) == ["e1", shipped], point
        assert sum(isinstance(event, ApprovalGiven) for event in events) == 1, point
        assert received(list(engine.store.journal(listener))) == [shipped], point
        assert [waiting.path for waiting in engine.store.waits(listener)] == ["second"], point
        assert engine.store.waits(run_id) == [], point
        assert engine.store.mail([run_id, listener]) == [], point
        world.close()
        if not was_killed:
            assert point > 25
            return
    pytest.fail("no run came through undisturbed")
