"""How fast does a long run wake? By hand: `python tests/benchmarks/long_run.py [ITERATIONS]`.

A `repeat` with a wait in it has gone through ITERATIONS iterations (100,000 by default) and waits for an event. One JSON line:
events in its journal, milliseconds in which another process loads it, bytes of its snapshot, megabytes by which that process
grows, and milliseconds from the event to the end of the iteration. Less than 50 ms to wake is asked for, and memory that does not
grow with the journal.

$BENCH_TMP is the folder to work in.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from agentctl.core.interpreter import fold
from agentctl.core.snapshot import restore
from agentctl.language.catalog import Catalog
from agentctl.language.project.project import find
from agentctl.ports import NewEvent
from agentctl.wiring import build_client, build_engine, load_definition, open_store

LONG = """
loop: long
steps:
  - id: poll
    repeat: {while: last is none or true, max: COUNT, on_max: continue}
    steps:
      - {id: pause, wait: 0s}
      - {id: look, set: {n: "${{ index }}"}}
  - {id: last, wait: {event: go}}
"""


async def prepare(folder: Path, count: int) -> None:
    """Drive a run of LONG to its last wait."""
    (folder / "loops").mkdir()
    (folder / "agentctl.yaml").write_text("vars: {}\n")
    (folder / "loops/long.yaml").write_text(LONG.replace("COUNT", str(count)))
    project = find(folder)
    store = open_store(project.store_path)
    engine = build_engine(project, store)
    try:
        stored, _ = load_definition(store, Catalog(project), folder / "loops/long.yaml")
        run_id = await build_client(project, store).create(stored, {})
        row = await engine.drive(run_id, until="rest")
        assert row.status == "waiting", row
        (folder / "run").write_text(run_id)
    finally:
        await engine.stop()
        store.close()


async def wake(folder: Path) -> dict[str, float]:
    """What another process takes to load the run, and to end it after an event."""
    run_id = (folder / "run").read_text()
    project = find(folder)
    store = open_store(project.store_path)
    engine = build_engine(project, store)
    plan_of = engine._shared.definitions.plan
    row = store.run(run_id)
    assert row is not None
    plan_of(row.version)
    try:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        head, data = store.snapshot(run_id) or (0, b"")
        state = fold(store.journal(run_id, head), plan_of, state=restore(data, plan_of) if data else None)
        loaded = time.perf_counter()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        await store.send(NewEvent("go", {}, "go-1", time.time()))
        sent = time.perf_counter()
        ended = await engine.drive(run_id)
        done = time.perf_counter()
        assert ended.status == "succeeded", ended
    finally:
        await engine.stop()
        store.close()
    return {
        "events": state.head,
        "load_ms": round((loaded - begin) * 1000, 1),
        "snapshot_bytes": len(data),
        "grown_mb": round(grown / 1024, 1),
        "wake_ms": round((done - sent) * 1000, 1),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:  # the process that wakes the run
        print(json.dumps({"iterations": count, **asyncio.run(wake(Path(sys.argv[2])))}))
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as folder:
        asyncio.run(prepare(Path(folder), count))
        os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, str(count), folder])


if __name__ == "__main__":
    main()
