"""Killed before and after every commit while runs stand in line: no place is kept by the dead, and no limit is ever exceeded.

A run with children that need a place, too, and two further runs are driven until the process dies. In its next life somebody
starts a new run first, which must not have to wait for the dead; then all of them go on to their end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentctl import model
from agentctl.engine.engine import Engine
from agentctl.ports import Call, HistoryFilter
from agentctl.store.db import failpoint
from agentctl.testing.definitions import set_step, skill, stored, task
from agentctl.testing.fixtures import World

FLOW = model.Flow(concurrency=model.Concurrency(1), throttle=model.Rate(1000, 3600.0))
ALONE = stored("alone", task("work"), set_step("end", done=True), flow=FLOW)
PARENT = stored("parent", skill("call", "helper"), flow=FLOW)
FAR_MORE_THAN_ENOUGH = 500


class Counted(World):
    """Counts how many runs of a name are at their work at the same time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.at_work: dict[str, set[str]] = {}
        self.most = 0
        self.skills["helper"] = stored("helper", task("work"), kind="skill", flow=FLOW)
        self.shell.behave["work"] = self.work

    async def work(self, call: Call) -> str:
        working = self.at_work.setdefault(call.name, set())
        working.add(call.run_id)
        self.most = max(self.most, len(working))
        await asyncio.sleep(0)
        working.discard(call.run_id)
        return "done"


async def life(engine: Engine) -> None:
    """Start what is not started yet, and drive everything there is."""
    if not engine.store.history(HistoryFilter(name="parent")):
        await engine.create_many(PARENT, [{}] * 2)
    if not engine.store.history(HistoryFilter(name="alone")):
        await engine.create_many(ALONE, [{}] * 3)
    await drive_all(engine)


async def drive_all(engine: Engine) -> None:
    unfinished = [row.id for row in engine.store.history(HistoryFilter()) if row.parent is None and row.finished_at is None]
    await asyncio.gather(*map(engine.drive, unfinished))


def survives(point: int, root: Path) -> bool:
    """False: the process of its own did not come to that crash point before the end."""

    async def scenario(engine: Engine) -> None:
        failpoint._points = failpoint.CrashPoints(point, None)
        await life(engine)
        (root / "undisturbed").touch()

    Counted(root).killed(scenario)
    return not (root / "undisturbed").exists()


async def next_life(engine: Engine) -> None:
    run_id, _ = await engine.start(ALONE, {}, reserve=True)
    row = await asyncio.wait_for(engine.drive(run_id), 10)
    assert row.status == "succeeded", "the dead keep no place"
    await life(engine)


def kept(root: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(root / ".agentctl" / "agentctl.db")) as connection:
        return connection.execute(query).fetchall()


def test_killed_at_any_commit_no_place_is_lost_or_given_twice(tmp_path: Path) -> None:
    for point in range(1, FAR_MORE_THAN_ENOUGH):
        root = tmp_path / str(point)
        root.mkdir()
        was_killed = survives(point, root)
        world = Counted(root)
        engine = world.engine()
        asyncio.run(asyncio.wait_for(next_life(engine), 30))
        assert world.most == 1, point
        rows = engine.store.history(HistoryFilter(limit=100))
        assert {row.status for row in rows} == {"succeeded"}, point
        assert [row.name for row in rows].count("helper") == 2, point
        world.close()
        assert kept(root, "SELECT * FROM places WHERE held IS NOT NULL") == [], point
        assert kept(root, "SELECT id FROM runs WHERE in_line = 1") == [], point
        started = kept(root, "SELECT grp, count(*) FROM starts GROUP BY grp ORDER BY grp")
        runs = kept(root, "SELECT name || ' throttle', count(*) FROM runs GROUP BY name ORDER BY name")
        assert started == runs, f"{point}: each counts once, however often it was taken over"
        if not was_killed:
            assert point > 25
            return
    pytest.fail("no run came through undisturbed")
