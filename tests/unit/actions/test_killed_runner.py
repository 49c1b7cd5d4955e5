from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import eventually

from agentctl.actions import process, warden
from agentctl.actions.left_behind import end_left_behind
from agentctl.actions.warden_process import WARDEN

RUNNER = """
import asyncio, sys
from pathlib import Path
from agentctl.actions.process import run_process
import os

def sink(chunk): pass

async def main(script):
    await run_process(["sh", "-c", script], cwd=Path(sys.argv[2]), env=os.environ, stdin=-3, stdout=sink, stderr=sink)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def runner(tmp_path: Path, repository: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a process that performs one shell script in `tmp_path`. `before`: what else its program does first."""

    def start(script: str, before: str = "") -> subprocess.Popen[bytes]:
        program = RUNNER.replace("asyncio.run(main", f"{before}\nasyncio.run(main")
        return subprocess.Popen([sys.executable, "-c", program, script, str(tmp_path)], cwd=repository)

    return start


def test_a_runner_killed_with_9_takes_the_whole_tree_with_it(
    runner: Callable[[str], subprocess.Popen[bytes]],
    tmp_path: Path,
    written: Callable[[Path], str],
    dead: Callable[[int], bool],
) -> None:
    killed = runner(
        "sleep 60 & a=$!; setsid sleep 60 & b=$!; (setsid sleep 60 & echo $! > c); echo $$ $a $b $(cat c) > pids; wait"
    )
    pids = [int(pid) for pid in re.findall(r"\d+", written(tmp_path / "pids"))]
    killed.kill()
    killed.wait()
    assert len(pids) == 4
    assert all(dead(pid) for pid in pids)


def test_what_an_ended_step_left_running_on_purpose_outlives_the_runner(
    runner: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path, written: Callable[[Path], str]
) -> None:
    ended = runner("(trap '' HUP; sleep 0.5; echo survived > late) >/dev/null 2>&1 &")
    assert ended.wait() == 0
    assert written(tmp_path / "late") == "survived\n"


def test_a_warden_that_was_killed_is_replaced(tmp_path: Path) -> None:
    def sink(chunk: bytes) -> None:
        return

    def run() -> int:
        return asyncio.run(
            process.run_process(["true"], cwd=tmp_path, env=os.environ, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        )

    assert run() == 0
    first = WARDEN.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert run() == 0
    second = WARDEN.pid
    assert second is not None
    assert second != first
    os.kill(second, 0)


NOTING_WARDENS = """
import threading, time
from agentctl.actions.left_behind import end_left_behind
from agentctl.actions.warden_process import WARDEN

def note():
    known = None
    while True:
        if WARDEN.pid not in (None, known):
            known = WARDEN.pid
            with open(sys.argv[2] + "/wardens", "a") as file:
                file.write(f"{known}\\n")
        time.sleep(0.005)

threading.Thread(target=note, daemon=True).start()
"""
LOCKED = """
import fcntl
from agentctl.actions.left_behind import end_left_behind
from agentctl.actions.warden_process import WARDEN
lock = os.open(sys.argv[2] + "/lock", os.O_CREAT | os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
WARDEN.hold(lock)
"""


def test_a_warden_that_dies_while_a_step_runs_is_replaced_at_once_and_guards_the_step(
    runner: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    written: Callable[[Path], str],
    is_alive: Callable[[int], bool],
    dead: Callable[[int], bool],
) -> None:
    killed = runner("echo $$ > pids; while sleep 0.05; do :; done", NOTING_WARDENS)
    step = int(written(tmp_path / "pids"))
    os.kill(int(written(tmp_path / "wardens")), signal.SIGKILL)
    eventually(lambda: len((tmp_path / "wardens").read_text().split()) == 2)
    assert is_alive(step)
    killed.kill()
    killed.wait()
    assert dead(step)


def test_the_lock_of_a_killed_runner_is_free_only_when_its_steps_are_dead(
    runner: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    written: Callable[[Path], str],
    is_alive: Callable[[int], bool],
) -> None:
    killed = runner("trap '' TERM; echo $$ > pids; while :; do sleep 0.05; done", LOCKED)
    step = int(written(tmp_path / "pids"))
    killed.kill()
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for whoever holds it
        assert not is_alive(step)
    killed.wait()


def test_no_process_of_a_killed_tree_sees_another_one_die(tmp_path: Path, written: Callable[[Path], str]) -> None:
    for number in range(20):
        trace = tmp_path / str(number)
        script = f"echo start > {trace}; sleep 60; echo went-on >> {trace}"
        tree = subprocess.Popen(["sh", "-c", script], start_new_session=True)
        assert written(trace) == "start\n"
        warden.kill_tree(tree.pid, b"")
        tree.wait()
        assert trace.read_text() == "start\n"


def test_what_a_dead_runner_and_its_dead_warden_left_of_an_attempt_is_ended_and_nothing_else(
    tmp_path: Path, is_alive: Callable[[int], bool], dead: Callable[[int], bool]
) -> None:
    def start(step: str) -> subprocess.Popen[bytes]:
        of_the_step = {"AGENTCTL_RUN_ID": "run", "AGENTCTL_STEP": step, warden.MARKER: step}
        return subprocess.Popen(["sh", "-c", "sleep 60; true"], env={**os.environ, **of_the_step}, start_new_session=True)

    lost, other = start("charge"), start("server")
    try:
        os.killpg(lost.pid, signal.SIGSTOP)
        end_left_behind("run", ["charge"])
        lost.wait()
        assert is_alive(other.pid)
    finally:
        for process_of_test in (lost, other):
            process_of_test.kill()
            process_of_test.wait()
