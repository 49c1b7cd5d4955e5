"""Speed of the store, by hand: `python tests/benchmarks/bench_store.py [--quick]`. JSON lines, the raw floor beside.

floor        commits of one row, WAL and synchronous=FULL, plain sqlite3 in this process, per second
sequential   one run, appends of two events, each awaited: per second, and as a share of the floor
concurrent   100 runs that append at the same time: per second, and processor time of the whole process per append
create       10,000 queued runs in one commit, seconds
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agentctl.core.events import RunCreated, StepStarted, StepSucceeded
from agentctl.ports import Append, Lease, NewRun, Progress
from agentctl.store.ledger import Ledger, open_store


def floor(folder: Path, commits: int) -> float:
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
    start = time.perf_counter()
    for _ in range(commits):
        connection.execute("INSERT INTO t (text) VALUES (?)", ("x" * 100,))
    rate = commits / (time.perf_counter() - start)
    connection.close()
    return rate


def new_run(number: int) -> NewRun:
    return NewRun(created=RunCreated(at=time.time(), run_id=f"run-{number:06}", name="bench", kind="loop", version="0" * 64))


async def drive(store: Ledger, lease: Lease, appends: int) -> None:
    head = 1
    for step in range(appends):
        now = time.time()
        events = (
            StepSucceeded(at=now, path=f"step_{step}", attempt=1, output={"ok": True, "number": step}),
            StepStarted(at=now, path=f"step_{step + 1}", input={"number": step}),
        )
        progress = Progress(status="running", started_at=1.0, finished_at=None, steps_done=step, steps_total=appends)
        await store.append(Append(lease=lease, head=head, events=events, progress=progress))
        head += 2


async def measure(store: Ledger, numbers: Sequence[int], appends: int) -> tuple[float, float]:
    """Appends per second, and microseconds of processor time per append."""
    runs = [new_run(number) for number in numbers]
    await store.create(runs)
    leases = await store.acquire([run.created.run_id for run in runs])
    wall, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(drive(store, lease, appends) for lease in leases))
    total = appends * len(runs)
    return total / (time.perf_counter() - wall), (time.process_time() - processor) / total * 1e6


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "agentctl.db")
        for number in range(rounds):
            raw = floor(Path(folder), 1000)
            (Path(folder) / "floor.db").unlink()
            rate, processor = await measure(store, [number], 1000)
            report(case="sequential", per_second=rate, floor=raw, share=rate / raw, cpu_us=processor)
            rate, processor = await measure(store, range(1000 * (number + 1), 1000 * (number + 1) + 100), 100)
            report(case="concurrent", per_second=rate, floor=raw, share=rate / raw, cpu_us=processor)
        start = time.perf_counter()
        await store.create([new_run(1_000_000 + number) for number in range(10_000)])
        report(case="create 10,000", seconds=time.perf_counter() - start)
        store.close()


def report(case: str, **figures: float) -> None:
    print(json.dumps({"case": case, **{name: round(value, 3) for name, value in figures.items()}}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(1 if "--quick" in sys.argv else 3))
