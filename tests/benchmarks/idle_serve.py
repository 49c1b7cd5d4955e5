"""What `agentctl serve` takes when there is nothing to do. By hand: `python tests/benchmarks/idle_serve.py [SECONDS]`.

100 definitions are deployed, 20 of them with a schedule that is not due, 20 with an event trigger; 10,000 runs sleep for a day;
it listens for HTTP, and nobody calls. One JSON line: `cpu_percent`, of one core, over 30 s unless told otherwise; `rss_mib`,
`pss_mib`, memory; `wakes_per_s`, how often it was given the processor; `ready_s`, from the start of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from workloads import CLI, with_engine

DEFINITIONS, SCHEDULES, SUBSCRIPTIONS, SLEEPERS = 100, 20, 20, 10_000
TICK = os.sysconf("SC_CLK_TCK")


def write_project(folder: Path) -> None:
    (folder / "loops").mkdir()
    (folder / "agentctl.yaml").write_text("vars: {}\n")
    (folder / "loops/sleeper.yaml").write_text("loop: sleeper\nsteps:\n  - wait: 1d\n")
    for number in range(1, DEFINITIONS):
        trigger = ""
        if number <= SCHEDULES:
            trigger = 'triggers: [{cron: "0 0 1 1 *", timezone: Europe/Berlin}]\n'
        elif number <= SCHEDULES + SUBSCRIPTIONS:
            trigger = f"triggers: [{{event: something.{number}}}]\n"
        (folder / f"loops/loop-{number}.yaml").write_text(f"loop: loop-{number}\n{trigger}steps:\n  - shell: echo done\n")


async def put_to_sleep(engine: Any, stored: Any) -> None:
    await engine.start_all(await engine.create_many(stored, [{}] * SLEEPERS), at_once=200)


def status(pid: int) -> dict[str, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:] if line.endswith("kB")}
    told = [line for path in Path(f"/proc/{pid}/task").glob("*/status") for line in path.read_text().splitlines()]
    wakes = sum(int(line.split()[1]) for line in told if line.startswith("voluntary_ctxt_switches"))
    return {"cpu": (int(fields[11]) + int(fields[12])) / TICK, "rss": memory["Rss"], "pss": memory["Pss"], "wakes": wakes}


def measure(folder: Path, seconds: float) -> dict[str, float]:
    began = time.perf_counter()
    listen = ["--listen", "127.0.0.1:0", "--json"]
    serve = subprocess.Popen([*CLI, "serve", *listen], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert serve.stdout is not None
        while serve.stdout.readline() != "}\n":
            assert serve.poll() is None, "serve ended"
        ready = time.perf_counter() - began
        time.sleep(5)
        before, start = status(serve.pid), time.perf_counter()
        time.sleep(seconds)
        after, took = status(serve.pid), time.perf_counter() - start
    finally:
        serve.send_signal(signal.SIGTERM)
        serve.wait(timeout=60)
    return {
        "ready_s": round(ready, 2),
        "cpu_percent": round((after["cpu"] - before["cpu"]) / took * 100, 2),
        "wakes_per_s": round((after["wakes"] - before["wakes"]) / took, 1),
        "rss_mib": round(after["rss"], 1),
        "pss_mib": round(after["pss"], 1),
    }


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as name:
        folder = Path(name)
        write_project(folder)
        asyncio.run(with_engine(folder, "loops/sleeper.yaml", put_to_sleep))
        print(json.dumps({"work": "idle serve", **measure(folder, seconds)}), flush=True)


if __name__ == "__main__":
    main()
