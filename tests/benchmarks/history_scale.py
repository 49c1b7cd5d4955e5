"""Does a store of 100,000 finished runs cost what one of 1,000 does? By hand: `python tests/benchmarks/history_scale.py [SIZE]`.

For each size (1,000 and 100,000 unless told otherwise) one JSON line; then a line with the figures of the last size as multiples
of the first's. The runs are made by the engine, each with its journal of eight events, and for each an event is kept; their
definition has limits, so that the rows of flow control pile up as they would.

whole processes, seconds     history, history_of_a_loop, history_failed, show, serve_ready (start to READY=1)
in this process, ms          due, next_due, find_prefix, find_last, history_50, journal, standing
per piece of work, µs        step (of a run of 1,000, one after the other), step_cpu, start (create and drive 1,000 runs), send
on disk                      mib, bytes_per_run

$BENCH_TMP is the folder to work in. $BENCH_KEEP keeps the stores there and, when they are there already, spares making them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workloads import CLI, chain, cpu

from agentctl.language.catalog import Catalog
from agentctl.language.project.project import find
from agentctl.ports import HistoryFilter, NewEvent
from agentctl.wiring import build_engine, calm_collector, load_definition, open_store

SIZES = (1_000, 100_000)
BATCH = 2_000

WORKED = """
loop: worked
input: {number: {type: integer}}
triggers: [{event: work.wanted}]
concurrency: 1000
dedupe: {key: "${{ input.number }}", for: 30d}
rate_limit: {limit: 5000, per: 1s}
throttle: {limit: 5000, per: 1s}
steps:
  - set: {number: "${{ input.number }}"}
  - set: {twice: "${{ input.number * 2 }}"}
  - set: {thrice: "${{ input.number * 3 }}"}
"""


def write_project(folder: Path) -> None:
    (folder / "loops").mkdir(exist_ok=True)
    (folder / "agentctl.yaml").write_text("vars: {}\n")
    (folder / "loops/worked.yaml").write_text(WORKED)
    (folder / "loops/long.yaml").write_text(chain("long", 1000))


class Bench:
    """A project's store and engine. To be made and used within one event loop."""

    def __init__(self, folder: Path) -> None:
        self.project = find(folder)
        self.store = open_store(self.project.store_path)
        self.engine = build_engine(self.project, self.store)
        self._serial = time.time_ns()

    def definition(self, name: str) -> Any:
        return load_definition(self.store, Catalog(self.project), self.project.root / f"loops/{name}.yaml")[0]

    async def send(self, count: int) -> None:
        """Events that are kept; what they start is made by `work`, for which the bench need not wait here."""
        self._serial += count
        now = time.time()
        numbers = range(self._serial, self._serial + count)
        await asyncio.gather(
            *(self.store.send(NewEvent("work.wanted", {"number": n}, f"evt-{n}", now)) for n in numbers)
        )

    async def work(self, count: int) -> None:
        """Create so many runs and drive them to their ends."""
        self._serial += count
        inputs = [{"number": n} for n in range(self._serial, self._serial + count)]
        ids = await self.engine.create_many(self.definition("worked"), inputs, trigger="event")
        await self.engine.start_all(ids, at_once=200)

    async def close(self) -> None:
        await self.engine.stop()
        self.store.close()


@contextmanager
def bench_folder(size: int) -> Iterator[Path]:
    base = os.environ.get("BENCH_TMP")
    if "BENCH_KEEP" in os.environ:
        folder = Path(base or tempfile.gettempdir()) / f"history-{size}"
        folder.mkdir(exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=base) as made:
        yield Path(made)


async def fill(folder: Path, size: int) -> None:
    bench = Bench(folder)
    there = sum(entry.runs for entry in bench.store.statistics()) if "BENCH_KEEP" in os.environ else 0
    while there < size:
        count = min(BATCH, size - there)
        await bench.send(count)
        await bench.work(count)
        there += count
    await bench.close()


async def measure_work(folder: Path) -> dict[str, float]:
    """The smallest of three: whatever else runs on the machine makes them larger only."""
    bench = Bench(folder)
    long, steps, used, starts, sends = bench.definition("long"), [], [], [], []
    for _ in range(3):
        run_id = await bench.engine.create(long, {})
        began, before = time.perf_counter(), cpu()
        await bench.engine.drive(run_id)
        steps.append((time.perf_counter() - began) / 1000)
        used.append((cpu() - before) / 1000)
        began = time.perf_counter()
        await bench.work(1000)
        starts.append((time.perf_counter() - began) / 1000)
        began = time.perf_counter()
        await bench.send(1000)
        sends.append((time.perf_counter() - began) / 1000)
    await bench.close()
    figures = {"step_us": steps, "step_cpu_us": used, "start_us": starts, "send_us": sends}
    return {name: round(min(times) * 1e6, 1) for name, times in figures.items()}


async def measure_queries(folder: Path) -> dict[str, float]:
    bench = Bench(folder)
    store, now = bench.store, time.time()
    some = store.history(HistoryFilter(name="worked", limit=40))[-1].id
    queries: dict[str, Callable[[], Any]] = {
        "due_ms": lambda: store.due(now),
        "next_due_ms": lambda: store.next_due(now),
        "find_prefix_ms": lambda: store.find(some[:-1]),
        "find_last_ms": lambda: store.find("last"),
        "history_50_ms": lambda: store.history(HistoryFilter()),
        "journal_ms": lambda: list(store.journal(some)),
        "standing_ms": lambda: store.queue_position(some, now),
    }
    figures = {name: round(min(timed(query) for _ in range(20)) * 1e3, 3) for name, query in queries.items()}
    await bench.close()
    return figures


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_processes(folder: Path) -> dict[str, float]:
    commands = {
        "history_s": ["history"],
        "history_of_a_loop_s": ["history", "--loop", "worked"],
        "history_failed_s": ["history", "--status", "failed"],
        "show_s": ["show", "last"],
    }

    def fresh(words: list[str]) -> None:
        subprocess.run([*CLI, *words], cwd=folder, check=True, capture_output=True)

    figures = {name: min(timed(lambda words=words: fresh(words)) for _ in range(7)) for name, words in commands.items()}
    figures["serve_ready_s"] = min(serve_until_ready(folder) for _ in range(5))
    return {name: round(value, 3) for name, value in figures.items()}


def serve_until_ready(folder: Path) -> float:
    """Seconds until `serve` tells systemd, or who plays it, that it is ready."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"{place}/notify")
        systemd.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": f"{place}/notify"}
        began = time.perf_counter()
        serve = subprocess.Popen([*CLI, "serve"], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        try:
            while b"READY=1" not in systemd.recv(4096):
                pass
            return time.perf_counter() - began
        finally:
            serve.send_signal(signal.SIGTERM)
            serve.wait(timeout=60)


def disk(folder: Path, size: int) -> dict[str, float]:
    total = sum(path.stat().st_size for path in (folder / ".agentctl").rglob("*") if path.is_file())
    return {"mib": round(total / 2**20, 1), "bytes_per_run": round(total / size)}


def measure(folder: Path, size: int) -> dict[str, float]:
    write_project(folder)
    began = time.perf_counter()
    asyncio.run(fill(folder, size))
    made = round(time.perf_counter() - began, 1)
    figures = {"made_s": made, **disk(folder, size), **measure_processes(folder)}
    return {**figures, **asyncio.run(measure_queries(folder)), **asyncio.run(measure_work(folder))}


def main() -> None:
    calm_collector()
    found: list[dict[str, float]] = []
    for size in [int(word) for word in sys.argv[1:]] or SIZES:
        with bench_folder(size) as folder:
            found.append(measure(folder, size))
            print(json.dumps({"runs": size, **found[-1]}), flush=True)
    first, last = found[0], found[-1]
    if len(found) > 1:
        print(json.dumps({"as_multiples": {name: round(last[name] / first[name], 2) for name in first if first[name]}}))


if __name__ == "__main__":
    main()
