"""A stress run of `agentctl serve`, by hand: `python tests/crash/stress --seconds 1800`.

Random definitions run under random SIGKILL (of the service, and of its warden), SIGSTOP with a second `serve` waiting and
full disks. Every execution of a step leaves a trace outside the store. Afterwards the traces are compared with the journals:

- every run has succeeded with the output that its definition promises: nothing is lost;
- no step executes after the journal says that it has finished, and no `effect: once` step executes twice: nothing runs twice;
- no two executions of one step live at the same time.

Prints one JSON document with the figures. What does not hold is printed on stderr, the project is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from definitions import SCRIPT, Author

from agentctl.core.events import StepSucceeded
from agentctl.ports import FINISHED, HistoryFilter
from agentctl.store.ledger import open_store

REPOSITORY = Path(__file__).resolve().parents[3]
SLACK = 0.05  # seconds between two clocks: the shell's and the runner's


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the faults go in (60)")
    parser.add_argument("--loops", type=int, default=8, help="definitions (8)")
    parser.add_argument("--every", type=float, default=4, help="seconds between two runs of a definition (4)")
    parser.add_argument("--settle", type=float, default=180, help="seconds that the runs get to finish afterwards (180)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="stress-", dir=os.environ.get("BENCH_TMP")))
    print(json.dumps({"seed": options.seed, "project": str(root)}), flush=True)
    problems, figures = stress(root, options)
    print(json.dumps(figures), flush=True)
    for problem in problems[:50]:
        print(problem, file=sys.stderr)
    if not problems:
        shutil.rmtree(root)
    return 1 if problems else 0


def stress(root: Path, options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    write(root, options)
    service = Service(root, options.seed)
    try:
        service.torment(options.seconds)
        for file in (root / "loops").glob("*.yaml"):
            file.unlink()  # no further slot starts a run; the runs in progress keep their version
        settled = settle(root, service, options.settle)
    finally:
        service.close()
    traces = read_traces(root)
    problems = ([] if settled else [f"it did not settle within {options.settle:g} s"]) + judge(root, traces)
    executions = sum(map(len, traces.begun.values()))
    figures = {**service.counts, "runs": count(root), "executions": executions, "problems": len(problems)}
    return problems, figures


def write(root: Path, options: argparse.Namespace) -> None:
    for folder in ("loops", "locks"):
        (root / folder).mkdir()
    (root / "agentctl.yaml").write_text("vars: {}\n")
    (root / "effect.sh").write_text(SCRIPT)
    author = Author(options.seed)
    for number in range(options.loops):
        name = f"random-{number}"
        (root / f"loops/{name}.yaml").write_text(json.dumps(author.loop(name, options.every)))  # JSON is YAML


class Service:
    """`agentctl serve`, and what happens to it."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._dice = random.Random(f"{seed}/faults")
        self._log = (root / "serve.log").open("ab")
        self.counts: dict[str, int] = defaultdict(int)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCTL_")}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")]))
        files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": self._log, "stderr": self._log}
        environment = {**kept, "PYTHONPATH": path, "NO_COLOR": "1"}
        return subprocess.Popen([sys.executable, "-m", "agentctl", "serve"], cwd=self._root, env=environment, **files)

    def torment(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self._dice.uniform(0.3, 3.0))
            if self.process.poll() is not None:  # for instance, the second one that found the first alive
                self.process = self._start()
                continue
            fault = self._dice.choice([self._kill, self._kill, self._kill_warden, self._stop_for_a_while, self._fill_the_disk])
            self.counts[fault.__name__.lstrip("_")] += 1
            fault()

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def _kill_warden(self) -> None:
        """The process that ends the steps of a dead runner: the runner must not work without one."""
        for child in children(self.process.pid):
            if is_warden(child):
                os.kill(child, signal.SIGKILL)

    def _stop_for_a_while(self) -> None:
        """A second `serve` must not take over what a sleeping one holds; now and then the sleeper is killed."""
        self.process.send_signal(signal.SIGSTOP)
        second = self._start()
        time.sleep(self._dice.uniform(0.5, 2.0))
        if self._dice.random() < 0.5:
            self.process.kill()
            self.process.wait()
            self.process = second
        else:
            self.process.send_signal(signal.SIGCONT)
            second.kill()
            second.wait()

    def _fill_the_disk(self) -> None:
        """No file of the process can grow for a moment."""
        limit(self.process.pid, 4096)
        time.sleep(self._dice.uniform(0.2, 1.5))
        limit(self.process.pid, resource.RLIM_INFINITY)

    def ensure_alive(self) -> None:
        if self.process.poll() is not None:
            self.process = self._start()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


def limit(pid: int, size: int) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    except ProcessLookupError:
        return  # it has ended meanwhile


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def is_warden(pid: int) -> bool:
    try:
        return b"sys.stdin.buffer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def settle(root: Path, service: Service, patience: float) -> bool:
    """Whether all runs end in time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        service.ensure_alive()
        time.sleep(1.0)
        store = open_store(root / ".agentctl/agentctl.db", read_only=True)
        try:
            if all(row.status in FINISHED for row in store.history(HistoryFilter(limit=100_000))):
                return True
        finally:
            store.close()
    return False


@dataclass
class Traces:
    """Executions by `RUN/path`: attempts and times at which they began and ended; steps that were executed twice at once."""

    begun: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    overlapping: list[str] = field(default_factory=list)


def read_traces(root: Path) -> Traces:
    traces = Traces()
    log = root / "effects.log"
    for line in log.read_text().splitlines() if log.exists() else []:
        what, key, attempt, at = line.split()
        if what == "O":
            traces.overlapping.append(f"{key}: attempt {attempt} began while another one lived")
        else:
            (traces.begun if what == "B" else traces.ended)[key].append((int(attempt), float(at)))
    return traces


def judge(root: Path, traces: Traces) -> list[str]:
    problems = list(traces.overlapping)
    store = open_store(root / ".agentctl/agentctl.db", read_only=True)
    try:
        for row in store.history(HistoryFilter(limit=100_000)):
            if (row.status, row.output) != ("succeeded", row.name):
                problems.append(f"run {row.id} of {row.name}: {row.status}, output {row.output!r}, error {row.error}")
            for event in store.journal(row.id):
                if isinstance(event, StepSucceeded):
                    problems += judge_step(f"{row.id}/{event.path}", event, traces)
    finally:
        store.close()
    return problems


def judge_step(key: str, event: StepSucceeded, traces: Traces) -> list[str]:
    begun, name = traces.begun[key], key.rpartition(".")[2].rpartition("/")[2]
    problems = [f"{key}: attempt {attempt} began after the step had finished" for attempt, at in begun if at > event.at + SLACK]
    if name.startswith("once") and len(begun) > 1:
        problems.append(f"{key}: effect once, and it was executed {len(begun)} times")
    if name.startswith(("effect", "retry", "instead", "finally")) and not traces.ended[key]:
        problems.append(f"{key}: succeeded without an effect")
    return problems


def count(root: Path) -> int:
    store = open_store(root / ".agentctl/agentctl.db", read_only=True)
    try:
        return len(store.history(HistoryFilter(limit=100_000)))
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
