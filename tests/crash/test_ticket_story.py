"""The reason for all this: what a restarted `while True` does to its customers, and what a loop does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_loop_answers_each_ticket_once_where_a_while_true_answers_many_again(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "tests/benchmarks/tickets.py", "--tickets", "40", "--kills", "4"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    rows = {line[:20].strip(): [int(n.replace(",", "")) for n in line[20:].split()] for line in done.stdout.splitlines()[1:]}

    assert rows["killed"] == [4, 4]
    assert rows["duplicate mails"][0] > 10
    assert rows["duplicate mails"][1] == 0
    assert rows["tickets lost"] == [0, 0]
    assert rows["tokens paid twice"][1] <= 4 * 900, "more than the calls that were cut off"
