"""A soak of `agentctl serve`, by hand: `python tests/crash/soak --seconds 300`.

20 loops tick every second under limits; events, signed webhooks, files and `agentctl send` bring more; definitions change; and
the service is killed (SIGKILL) at random. Then the killing stops, the loops are taken away, and what is left is let finish.
Afterwards every acknowledged event has exactly its runs, every slot one row, no limit was exceeded, every effect is accounted
for, no run is stuck, no process and no file of the dead is left. What is not so is told, and the exit code is 1.

The project is kept when there is a problem. --seed repeats the dice, not the machine's timing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import workshop
from callers import Caller, Clerk, Commander, Ledger, Sent
from judge import Judge
from trouble import Author, Keeper

REPOSITORY = Path(__file__).resolve().parents[3]
MARK = "SOAK_MARK"  # in the environment of everything that is started, so that what is left over is found
CALLERS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long it is tormented (60)")
    parser.add_argument("--rate", type=float, default=200, help="events a second (200)")
    parser.add_argument("--longest", type=float, default=4, help="seconds that the service lives at most (4)")
    parser.add_argument("--settle", type=float, default=120, help="seconds it may take to finish afterwards (120)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--keep", action="store_true", help="keep the project")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="soak-", dir=os.environ.get("BENCH_TMP")))
    print(json.dumps({"seed": options.seed, "project": str(root)}), flush=True)
    problems = soak(root, options)
    for shape in sorted({_shape(problem) for problem in problems}):
        alike = [problem for problem in problems if _shape(problem) == shape]
        print(f"{len(alike)} x {alike[0]}", file=sys.stderr)
    if not problems and not options.keep:
        shutil.rmtree(root)
    return 1 if problems else 0


def _shape(problem: str) -> str:
    """Problems that differ only in ids and numbers are one."""
    return re.sub(r"[a-z0-9]*[0-9][a-z0-9]*", "#", problem)


def soak(root: Path, options: argparse.Namespace) -> list[str]:
    workshop.write(root)
    mark, token, port = uuid.uuid4().hex, uuid.uuid4().hex, free_port()
    environment = surroundings(mark, token)
    ledger, over = Ledger(), threading.Event()
    began = time.monotonic()
    keeper = Keeper(root, environment, port, options.seed, options.longest)
    try:
        author = Author(root, options.seed, over)
        callers = [Caller(n, options.seed, port, token, options.rate / CALLERS, ledger, over) for n in range(1, CALLERS + 1)]
        commander = Commander(root, environment, ledger, over)
        threads = [author, *callers, commander, Clerk(root, ledger, over)]
        for thread in threads:
            thread.start()
        keeper.torment(options.seconds)
        tormented = time.monotonic() - began
        over.set()
        for thread in threads:
            thread.join(timeout=60)
        last = last_words(root, author, callers[0], commander, ledger)
        workshop.stop_ticking(root)
        settled = settle(root, options.settle)
        code = keeper.end(60)
    finally:
        keeper.close()
    judge = Judge(root, ledger)
    problems = judge.judge()
    problems += [f"it did not settle in {options.settle:g} s"] if settled is None else []
    problems += [f"serve ended with {code} upon SIGTERM"] if code != 0 else []
    problems += keeper.deaths + leftovers(root, mark) + last_words_heard(judge, last, author.version)
    report(judge, ledger, keeper, tormented, settled, len(problems))
    return problems


def surroundings(mark: str, token: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCTL_")}
    path = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NO_COLOR": "1", "AGENTCTL_TOKEN": token, "SOAK": workshop.SECRET, MARK: mark}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def last_words(root: Path, author: Author, caller: Caller, commander: Commander, ledger: Ledger) -> Sent:
    """Answers for those who still wait for one; then, with every definition good again, an event that all of them take."""
    commander.approve_all()
    answered = {sent.data["n"] for sent in ledger.sent if sent.name == "soak.answer" and sent.acknowledged}
    for sent in [sent for sent in ledger.sent if sent.name == "soak.asked" and sent.data["n"] not in answered]:
        caller.insist("soak.answer", {"n": sent.data["n"]})
    author.make_good()
    await_deployment(root)
    return caller.insist("soak.churn", {"n": 999_999_999, "key": "last"})


def await_deployment(root: Path) -> None:
    """Until the definitions are deployed as they are; a changed file should be seen within 2 s."""
    wanted = {name: sha256((root / f"loops/{name}.yaml").read_bytes()).hexdigest() for name in workshop.CHURNED}
    end = time.monotonic() + 20
    with closing(reader(root)) as connection:
        while time.monotonic() < end:
            found = dict(connection.execute("SELECT name, version FROM deployments WHERE NOT gone AND problem IS NULL"))
            if wanted.items() <= found.items():
                return
            time.sleep(0.1)


def last_words_heard(judge: Judge, last: Sent, version: int) -> list[str]:
    ran = sorted((run.name, run.output["version"]) for run in judge.runs if run.id in last.started)
    wanted = [(name, version) for name in workshop.CHURNED]
    return [] if ran == wanted else [f"after the last change {ran} ran, not {wanted}"]


def settle(root: Path, patience: float) -> float | None:
    """Seconds until nothing is left to do; None: there still was."""
    began = time.monotonic()
    busy = """SELECT EXISTS (SELECT 1 FROM runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled'))
        OR EXISTS (SELECT 1 FROM piles) OR EXISTS (SELECT 1 FROM schedules WHERE settled IS NOT NULL)"""
    with closing(reader(root)) as connection:
        while time.monotonic() - began < patience:
            if not connection.execute(busy).fetchone()[0]:
                return time.monotonic() - began
            time.sleep(0.2)
    return None


def reader(root: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{root}/.agentctl/agentctl.db?mode=ro", uri=True)


def leftovers(root: Path, mark: str) -> list[str]:
    found = [f"process {pid} is left: {command}" for pid, command in marked_processes(mark)]
    for folder in ("wake", "executors"):
        place = root / ".agentctl" / folder
        left = sorted(path.name for path in place.iterdir()) if place.exists() else []
        if left:
            found.append(f"{len(left)} files are left in {folder}/")
    return found


def marked_processes(mark: str) -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")))
        except OSError:
            continue  # it has ended meanwhile
    return found


def report(judge: Judge, ledger: Ledger, keeper: Keeper, tormented: float, settled: float | None, problems: int) -> None:
    acknowledged = sum(sent.acknowledged for sent in ledger.sent)
    figures: dict[str, Any] = {
        "seconds": round(tormented, 1),
        "kills": keeper.kills,
        "stops": keeper.stops,
        "sent": len(ledger.sent),
        "acknowledged": acknowledged,
        "per_second": round(acknowledged / tormented, 1),
        "unanswered": sum(not sent.acknowledged for sent in ledger.sent),
        "answers": ledger.answers,
        "files": len(ledger.files),
        "runs": len(judge.runs),
        "recovered": sum(run.recoveries > 0 for run in judge.runs),
        "settled_s": None if settled is None else round(settled, 1),
        "problems": problems,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    sys.exit(main())
