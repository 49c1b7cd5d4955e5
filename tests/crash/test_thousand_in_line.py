"""A thousand runs stand in line for one place of a real `agentctl serve`, which dies in the middle: they start in order."""

from __future__ import annotations

import asyncio
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from agentctl.language.catalog import Catalog
from agentctl.language.project.project import find
from agentctl.ports import HistoryFilter, RunRow
from agentctl.wiring import build_engine, load_definition, open_store

RUNS = 1000
PATIENCE = 90.0  # seconds

ONE_AT_A_TIME = """
    loop: one-at-a-time
    concurrency: 1
    input: {n: {type: integer}}
    steps: [{set: {n: "${{ input.n }}"}}]
    """


async def line_up(root: Path) -> None:
    project = find(root)
    store = open_store(project.store_path)
    engine = build_engine(project, store)
    try:
        stored, _ = load_definition(store, Catalog(project), root / "loops/one-at-a-time.yaml")
        await engine.create_many(stored, [{"n": n} for n in range(RUNS)])
    finally:
        await engine.stop()
        store.close()


def ended(store: Any) -> int:
    return len(store.history(HistoryFilter(status=("succeeded",), limit=RUNS)))


def until(store: Any, count: int, serve: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while ended(store) < count:
        assert time.monotonic() < end, f"{ended(store)} of {count} runs ended in time"
        assert serve.poll() is None, serve.communicate()
        time.sleep(0.05)


def test_a_thousand_queued_runs_start_in_order_one_at_a_time(project: Any, agentctl: Any) -> None:
    project.write("loops/one-at-a-time.yaml", ONE_AT_A_TIME)
    asyncio.run(line_up(project.root))
    store = open_store(project.store, read_only=True)
    first = agentctl.start("serve", "--log-level", "error")
    until(store, RUNS // 4, first)
    first.kill()
    first.wait()
    until(store, RUNS, agentctl.start("serve", "--log-level", "error"))

    runs: list[RunRow] = sorted(store.history(HistoryFilter(limit=2 * RUNS)), key=lambda row: row.started_at or 0.0)
    store.close()
    assert [row.input["n"] for row in runs] == list(range(RUNS))
    for one, after in pairwise(runs):
        assert one.finished_at is not None
        assert after.started_at is not None
        assert one.finished_at <= after.started_at, f"runs {one.id} and {after.id} ran at the same time"
