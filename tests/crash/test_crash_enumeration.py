"""The process is killed at every commit it makes, and resumed: the outcome is that of an undisturbed run.

Every commit passes two numbered points, before and after it; SIGKILL at point k for every k tries every state that a crash can
leave in the store. What a step did in the world is counted by the lines that its commands append to a file.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentctl.core import events as ev
from agentctl.errors import StoreMissing
from agentctl.ports import HistoryFilter
from agentctl.store.ledger import open_store

PARTS = 4  # each story's crash points are spread over this many tests, for test runners with several processes

GRAPH = """
loop: graph
steps:
  - id: list
    shell: 'echo "$AGENTCTL_IDEMPOTENCY_KEY" >> done.log; printf "[1, 2, 3]"'
    parse: json
  - id: each
    foreach: ${{ steps.list.output }}
    max_parallel: 2
    steps:
      - id: probe
        retry: {attempts: 2, delay: 10ms}
        env: {N: "${{ item }}"}
        # item 2 fails on its first attempt, and only on that
        shell: |
          echo "$AGENTCTL_IDEMPOTENCY_KEY" >> done.log
          if [ "$N" = 2 ] && [ "$AGENTCTL_ATTEMPT" = 1 ]; then exit 1; fi
          echo "probed $N"
  - id: child
    skill: greet
    with: {who: "${{ steps.each.output[1] }}"}
  - id: last
    shell: 'echo "$AGENTCTL_IDEMPOTENCY_KEY" >> done.log; echo "$SAID"'
    env: {SAID: "${{ steps.child.output }}!"}
"""
SKILL = """
skill: greet
input: {who: {type: string}}
steps:
  - id: say
    shell: 'echo "$AGENTCTL_IDEMPOTENCY_KEY" >> done.log; echo "hello $WHO"'
    env: {WHO: "${{ input.who }}"}
  - id: again
    set: {text: "${{ steps.say.output }}"}
output: ${{ steps.again.output.text }}
"""


@dataclass(frozen=True)
class Story:
    """`prepare` fills a project's folder; `target` is run in it.  `stable`: the output does not change from run to run."""

    target: str
    prepare: Callable[[Path, Path], None]
    stable: bool = True


def _graph(root: Path, repository: Path) -> None:
    (root / "loops/graph.yaml").write_text(GRAPH)
    (root / "skills/greet.yaml").write_text(SKILL)


def _tickets(root: Path, repository: Path) -> None:
    shutil.copytree(repository / "examples/ticket-queue", root, dirs_exist_ok=True)
    tickets = json.loads((root / "tickets.json").read_text())
    (root / "tickets.json").write_text(json.dumps(tickets[:3]))  # three show all that eight do, in a third of the time


def _health(root: Path, repository: Path) -> None:
    for folder in ("loops", "skills"):
        shutil.copytree(repository / folder, root / folder, dirs_exist_ok=True)


STORIES = {
    "graph": Story("loops/graph.yaml", _graph),
    "tickets": Story("loops/answer-tickets.yaml", _tickets),
    "health": Story("loops/health.yaml", _health, stable=False),
}


def journals(root: Path) -> dict[str, list[Any]]:
    """The journals of every run in the store, by run id; {} when there is no store yet."""
    path = root / ".agentctl/agentctl.db"
    if not path.exists():
        return {}
    try:
        store = open_store(path, read_only=True)
    except StoreMissing:  # killed before its first commit
        return {}
    try:
        return {row.id: list(store.journal(row.id)) for row in store.history(HistoryFilter(limit=100))}
    finally:
        store.close()


def finished(journal: list[Any]) -> dict[str, int]:
    """Leaves that are recorded as succeeded: path -> how often (once, if all is well)."""
    started = {e.path for e in journal if isinstance(e, ev.StepStarted) and e.input is not None}
    return Counter(e.path for e in journal if isinstance(e, ev.StepSucceeded) and e.attempt and e.path in started)


def statuses(root: Path) -> dict[str, str]:
    """How every step of every run ended, by name of the run's definition and path."""
    ended: dict[str, str] = {}
    for journal in journals(root).values():
        for event in journal:
            if isinstance(event, ev.StepSucceeded | ev.StepFailed | ev.StepSkipped | ev.StepCancelled):
                ended[f"{journal[0].name}/{event.path}"] = getattr(event, "status", type(event).__name__)
    return ended


def executions(root: Path) -> Counter[str]:
    log = root / "done.log"
    return Counter(log.read_text().split("\n")[:-1]) if log.exists() else Counter()


@pytest.fixture
def fresh(tmp_path: Path, repository: Path) -> Callable[[Story, str], Path]:
    def make(story: Story, name: str) -> Path:
        root = tmp_path / name
        (root / "loops").mkdir(parents=True)
        (root / "skills").mkdir()
        (root / "agentctl.yaml").write_text("vars: {}\n")
        story.prepare(root, repository)
        return root

    return make


def points(count: int, part: int) -> Iterator[int]:
    return iter(range(1 + part, count + 1, PARTS))


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_every_commit_and_resumed_it_ends_as_if_nothing_had_happened(
    name: str, part: int, agentctl: Any, fresh: Callable[[Story, str], Path], tmp_path: Path
) -> None:
    story = STORIES[name]
    calm = fresh(story, "calm")
    count_file = tmp_path / "count"
    undisturbed = agentctl("run", story.target, "--json", cwd=calm, env={"AGENTCTL_CRASH_COUNT": str(count_file)})
    assert undisturbed.code == 0, undisturbed.err
    count = int(count_file.read_text())
    assert count >= 10
    wanted = statuses(calm)

    missed = 0
    for k in points(count, part):
        root = fresh(story, f"crash-{k}")
        killed = agentctl("run", story.target, cwd=root, env={"AGENTCTL_CRASH_AT": str(k)})
        if killed.code == 0 and k > count - 6:  # what is ready at once shares a commit: there may be a few fewer than counted
            missed += 1
            continue
        assert killed.code == -signal.SIGKILL, f"point {k}: {killed.err}"
        before = journals(root)
        done = {f"{run}/{path}" for run, journal in before.items() for path in finished(journal)}
        executed = executions(root)

        resumed = agentctl("resume", "last", "--json", cwd=root)
        if resumed.code == 4:  # killed before the run itself was committed: there is nothing to lose
            assert not before
            resumed = agentctl("run", story.target, "--json", cwd=root)

        if resumed.code == 2:  # killed after the last commit
            assert "resume" in resumed.json["error"]["message"]
            resumed = agentctl("show", "last", "--json", cwd=root)
            assert resumed.json["run"]["status"] == "succeeded"
        else:
            assert (resumed.code, resumed.json["status"]) == (0, "succeeded"), f"point {k}: {resumed.out}"
            if story.stable:
                assert resumed.json["output"] == undisturbed.json["output"], f"point {k}"
        assert statuses(root) == wanted, f"point {k}"
        for journal in journals(root).values():
            assert set(finished(journal).values()) <= {1}, f"point {k}: a step is recorded twice"
        for key, times in executions(root).items():
            if key in done:
                assert times == executed[key], f"point {k}: {key} was finished and executed again"
            else:
                attempts = 2 if key.endswith("each[1].probe") else 1
                assert times <= attempts + 1, f"point {k}: {key} executed {times} times"
    assert missed <= 2
