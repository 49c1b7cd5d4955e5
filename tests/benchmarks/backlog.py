"""How fast is a backlog of events worked off? By hand: `python tests/benchmarks/backlog.py [EVENTS]`.

A loop that takes one event in each iteration of a `repeat` finds EVENTS events waiting (10,000 unless told otherwise). One JSON
line: seconds to send them, seconds to work them off, mail rows that were written, milliseconds for each event. Less than 60 s for
10,000 is asked for, and a cost for each event that does not grow with their number.

$BENCH_TMP is the folder to work in.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from agentctl.language.catalog import Catalog
from agentctl.language.project.project import find
from agentctl.ports import NewEvent
from agentctl.wiring import build_client, build_engine, load_definition, open_store

WORKER = """
loop: worker
steps:
  - id: all
    repeat: {while: last is none or true, max: COUNT, on_max: continue}
    steps:
      - wait: {event: work.item}
"""


async def measure(folder: Path, count: int) -> dict[str, float]:
    (folder / "loops").mkdir()
    (folder / "agentctl.yaml").write_text("vars: {}\n")
    (folder / "loops/worker.yaml").write_text(WORKER.replace("COUNT", str(count)))
    project = find(folder)
    store = open_store(project.store_path)
    engine = build_engine(project, store)
    try:
        stored, _ = load_definition(store, Catalog(project), folder / "loops/worker.yaml")
        run_id = await build_client(project, store).create(stored, {})
        begin = time.perf_counter()
        for first in range(0, count, 500):
            events = [NewEvent("work.item", {"n": n}, f"e{n}", time.time()) for n in range(first, min(first + 500, count))]
            await asyncio.gather(*(store.send(event) for event in events))
        sent = time.perf_counter()
        await engine.drive(run_id)
        done = time.perf_counter()
        row = store.run(run_id)
        assert row is not None
        assert row.status == "succeeded", row
    finally:
        await engine.stop()
        store.close()
    [mails] = sqlite3.connect(project.store_path).execute("SELECT seq FROM sqlite_sequence WHERE name = 'mail'").fetchone()
    took = done - sent
    return {"events": count, "send_s": sent - begin, "work_s": took, "mails": mails, "ms_each": took / count * 1000}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), count))))


if __name__ == "__main__":
    main()
