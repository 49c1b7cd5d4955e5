from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentctl.actions import process

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
def runner(tmp_path: Path, repository: Path) -> Callable[[str], subprocess.Popen[bytes]]:
    """Triggered a process that performs one shell script in `tmp_path`."""

    def start(script: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", RUNNER, script, str(tmp_path)], cwd=repository)

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
    first = process._warden.process
    assert first is not None
    first.kill()
    first.wait()
    assert run() == 0
    second = process._warden.process
    assert second is not None
    assert second is not first
    assert second.poll() is None
