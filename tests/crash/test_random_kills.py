"""Loops of 30 steps under a hundred real kill -9 at random moments: no step is lost, no finished one is executed again."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agentctl.core import events as ev
from agentctl.errors import StoreMissing
from agentctl.ports import HistoryFilter
from agentctl.store.ledger import open_store

STEPS, KILLS, LANES = 30, 100, 4


def definition() -> str:
    script = 'echo "$AGENTCTL_IDEMPOTENCY_KEY" >> done.log; sleep 0.01; echo ok'
    return "loop: thirty\nsteps:\n" + "".join(f"  - id: s{i}\n    shell: '{script}'\n" for i in range(STEPS))


def recorded(root: Path) -> tuple[list[str], Counter[str]]:
    """The runs that have not succeeded yet, and how often each step is recorded as succeeded."""
    path = root / ".agentctl/agentctl.db"
    if not path.exists():
        return [], Counter()
    try:
        store = open_store(path, read_only=True)
    except StoreMissing:  # killed before its first commit
        return [], Counter()
    try:
        rows = store.history(HistoryFilter(limit=1000))
        ended = [f"{row.id}/{e.path}" for row in rows for e in store.journal(row.id) if isinstance(e, ev.StepSucceeded)]
        return [row.id for row in rows if row.status != "succeeded"], Counter(ended)
    finally:
        store.close()


def executed(root: Path) -> Counter[str]:
    log = root / "done.log"
    return Counter(log.read_text().split("\n")[:-1]) if log.exists() else Counter()


@pytest.mark.parametrize("lane", range(LANES))
def test_random_kills_lose_nothing_and_double_nothing(lane: int, project: Any, agentctl: Any) -> None:
    dice = random.Random(lane)
    project.write("loops/thirty.yaml", definition())
    kills = 0
    while kills < KILLS // LANES:
        unfinished, before = recorded(project.root)
        counted = executed(project.root)
        process = agentctl.start(*(["resume", unfinished[0]] if unfinished else ["run", "loops/thirty.yaml"]))
        try:
            process.wait(timeout=dice.uniform(0.1, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()

        after = executed(project.root)
        assert {key: after[key] for key in before} == {key: counted[key] for key in before}, "a finished step ran again"

    for run_id in recorded(project.root)[0]:
        assert agentctl("resume", run_id).code == 0
    unfinished, steps = recorded(project.root)
    runs = Counter(key.partition("/")[0] for key in steps)
    assert unfinished == []
    assert set(steps.values()) == {1}, "a step is recorded twice"
    assert set(runs.values()) == {STEPS}, "a step is lost"
    assert set(executed(project.root)) == set(steps)
