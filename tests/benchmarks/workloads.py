"""Five pieces of work that durable-step engines are compared by, each beside the raw SQLite floor of the same minute.

    python tests/benchmarks/workloads.py            # all of them; one JSON line each
    python tests/benchmarks/workloads.py W1 W5

W1  one run of 1,000 no-op steps in order                              steps/s
W2  1,000 runs of 10 no-op steps, 100 at once                          steps/s, CPU a step
W3  a run of 1,000 steps killed at step 500: time to the first new one seconds
W4  10,000 runs asleep for a day: creation, memory, CPU at rest        seconds, MiB, seconds of CPU over 10 s
W5  a fresh process that runs three no-op steps and exits              seconds, warm and cold

A no-op step is a `set`, journaled as any step is. Absolute numbers belong to a disk; compare the ratio to the floor.
Run by hand: nothing here is asserted. Put $BENCH_TMP on the disk to measure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentctl.language.catalog import Catalog
from agentctl.language.project.project import find
from agentctl.wiring import build_engine, calm_collector, load_definition, open_store

CLI = [sys.executable, "-m", "agentctl"]


def emit(work: str, **figures: Any) -> None:
    print(json.dumps({"work": work, **figures}), flush=True)


def cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def pss_mib() -> float:
    """Proportional set size of this process in MiB; 0 where the kernel does not tell."""
    try:
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def raw_commits(folder: Path, seconds: float = 1.0) -> float:
    """Single-row commits a second: SQLite in WAL mode with synchronous=FULL, one thread, nothing else."""
    path = folder / "floor.db"
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("CREATE TABLE IF NOT EXISTS floor(id INTEGER PRIMARY KEY, body TEXT)")
    body, count = "x" * 200, 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        conn.execute("INSERT INTO floor(body) VALUES (?)", (body,))
        count += 1
    rate = count / (time.perf_counter() - start)
    conn.close()
    path.unlink()
    return rate


def chain(name: str, steps: int) -> str:
    body = "".join(f"  - id: s{i}\n    set: {{n: {i}}}\n" for i in range(steps))
    return f"loop: {name}\nsteps:\n{body}"


def write_project(folder: Path) -> None:
    (folder / "loops").mkdir()
    (folder / "agentctl.yaml").write_text("vars: {}\n")
    (folder / "loops/long.yaml").write_text(chain("long", 1000))
    (folder / "loops/short.yaml").write_text(chain("short", 10))
    (folder / "loops/three.yaml").write_text(chain("three", 3))
    (folder / "loops/sleeper.yaml").write_text("loop: sleeper\nsteps:\n  - wait: 1d\n")


async def with_engine(folder: Path, file: str, work: Callable[[Any, Any], Any]) -> None:
    project = find(folder)
    store = open_store(project.store_path)
    engine = build_engine(project, store)
    stored, _ = load_definition(store, Catalog(project), folder / file)
    calm_collector()
    try:
        await work(engine, stored)
    finally:
        await engine.stop()
        store.close()


def w1(folder: Path) -> None:
    async def work(engine: Any, stored: Any) -> None:
        for run in range(4):
            floor = raw_commits(folder)
            run_id = await engine.create(stored, {})
            began, used = time.perf_counter(), cpu()
            await engine.drive(run_id)
            wall = time.perf_counter() - began
            rate = 1000 / wall
            if run:  # the first one warms the process up
                emit("W1", steps_per_s=round(rate), floor_commits_per_s=round(floor), ratio=round(rate / floor, 2),
                     cpu_us_per_step=round((cpu() - used) * 1e3))  # fmt: skip

    asyncio.run(with_engine(folder, "loops/long.yaml", work))


def w2(folder: Path) -> None:
    async def work(engine: Any, stored: Any) -> None:
        for run in range(4):
            floor = raw_commits(folder)
            ids = await engine.create_many(stored, [{}] * 1000)
            began, used = time.perf_counter(), cpu()
            await engine.start_all(ids, at_once=100)
            wall = time.perf_counter() - began
            rate = 10_000 / wall
            if run:
                emit("W2", steps_per_s=round(rate), floor_commits_per_s=round(floor), ratio=round(rate / floor, 2),
                     cpu_us_per_step=round((cpu() - used) * 1e2), runs_per_s=round(1000 / wall))  # fmt: skip

    asyncio.run(with_engine(folder, "loops/short.yaml", work))


def step_times(folder: Path) -> list[float]:
    """When each step of the newest run succeeded, from its journal."""
    shown = subprocess.run([*CLI, "show", "last", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    events = json.loads(shown.stdout)["events"]
    return [_epoch(event["at"]) for event in events if event["type"] == "StepSucceeded"]


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def w3(folder: Path) -> None:
    subprocess.run([*CLI, "run", "loops/long.yaml"], cwd=folder, check=True, capture_output=True)
    for _ in range(3):
        killed = subprocess.run(
            [*CLI, "run", "loops/long.yaml"], cwd=folder, env={**os.environ, "AGENTCTL_CRASH_AT": "1005"}, capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before = len(step_times(folder))
        began = time.time()
        subprocess.run([*CLI, "resume", "last"], cwd=folder, check=True, capture_output=True)
        ended = time.time()
        times = step_times(folder)
        emit("W3", killed_after=before, first_new_step_s=round(times[before] - began, 3), to_the_end_s=round(ended - began, 3))


def w4(folder: Path) -> None:
    async def work(engine: Any, stored: Any) -> None:
        began = time.perf_counter()
        ids = await engine.create_many(stored, [{}] * 10_000)
        created = time.perf_counter() - began
        await engine.start_all(ids, at_once=200)
        asleep = time.perf_counter() - began
        await asyncio.sleep(1)
        used = cpu()
        await asyncio.sleep(10)
        emit("W4", create_s=round(created, 2), asleep_s=round(asleep, 2), rest_cpu_s=round(cpu() - used, 3),
             pss_mib=round(pss_mib(), 1))  # fmt: skip

    asyncio.run(with_engine(folder, "loops/sleeper.yaml", work))


def w5(folder: Path) -> None:
    def fresh(*words: str) -> float:
        began = time.perf_counter()
        subprocess.run([*words], cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - began

    cold = fresh(*CLI, "run", "loops/three.yaml")
    warm = [fresh(*CLI, "run", "loops/three.yaml") for _ in range(9)]
    imports = [fresh(sys.executable, "-c", "import typer, rich") for _ in range(9)]
    python = [fresh(sys.executable, "-c", "pass") for _ in range(9)]
    figures = {"warm_s": warm, "import_typer_rich_s": imports, "python_s": python}
    emit("W5", cold_s=round(cold, 3), **{name: round(statistics.median(times), 3) for name, times in figures.items()})
    for command in (["--help"], ["history"]):
        times = [fresh(*CLI, *command) for _ in range(9)]
        emit("start-up", command=command[0], median_s=round(statistics.median(times), 3))


def main() -> None:
    works = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="*", metavar="W1..W5", help="which; all when none is named")
    for name in parser.parse_args().work or works:
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as folder:
            write_project(Path(folder))
            works[name](Path(folder))


if __name__ == "__main__":
    main()
