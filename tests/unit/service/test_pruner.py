"""The caretaker: prunes once a day, by the clock it is given."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agentctl.language.project.project import find
from agentctl.ports import Pruned
from agentctl.service.parts.pruner import AFTER_START, BETWEEN, Pruner
from agentctl.testing.clock import VirtualClock

DAY = 86_400.0


class Store:
    """Notes when it was pruned."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, float]] = []

    async def prune(self, now: float, keep: float, pause: Any) -> Pruned:
        await pause()
        self.calls.append((now, keep))
        return Pruned(runs=1)


def project(root: Path, text: str) -> Any:
    (root / "agentctl.yaml").write_text(text)
    return find(root)


async def live(caretaker: Pruner, clock: VirtualClock, seconds: float) -> None:
    running = asyncio.ensure_future(caretaker.run())
    await clock.sleep_until(clock.now() + seconds)
    running.cancel()
    await asyncio.wait([running])


async def test_it_prunes_after_the_start_and_then_day_by_day(tmp_path):
    clock, store = VirtualClock(), Store()
    began = clock.now()
    await live(Pruner(project(tmp_path, "retention: 90d\n"), store, clock), clock, 3 * DAY)
    assert [round(now - began, -1) for now, _ in store.calls] == [AFTER_START + number * BETWEEN for number in range(3)]
    assert {keep for _, keep in store.calls} == {90 * DAY}


async def test_without_retention_nothing_goes_and_a_reload_brings_it(tmp_path):
    clock, store = VirtualClock(), Store()
    caretaker = Pruner(project(tmp_path, "vars: {}\n"), store, clock)
    await live(caretaker, clock, 2 * DAY)
    assert store.calls == []
    project(tmp_path, "retention: 30d\n")
    await caretaker.reload()
    await live(caretaker, clock, DAY)
    assert [keep for _, keep in store.calls] == [30 * DAY]
