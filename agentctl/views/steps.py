"""One view per step of a run, and their order in a tree of steps."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agentctl import JSON
from agentctl.core.events import Error, Usage
from agentctl.paths import declared_path, parent_path


class StepView(msgspec.Struct):
    """The state of one step for display. Times are epoch seconds.

    `due`: when the next attempt starts.
    `child`: the run that this step started.
    `source`: RUN/path of the step whose result was reused.
    `waits_for`: RUN/path of the step that holds the key this step waits for.
    `block`: true for a list of steps, such as `each[2]` or `assess.fallback`.
    `input`: the parameters as evaluated for the first attempt; secrets by name. Of a call the arguments as asked for.
    `tool`, `key`: of a call of an agent, its tool and its idempotency key.
    """

    path: str
    action: str = ""
    status: str = "pending"
    attempts: int = 0
    output: JSON = None
    error: Error | None = None
    started_at: float | None = None
    finished_at: float | None = None
    due: float | None = None
    usage: Usage | None = None
    child: str | None = None
    source: str | None = None
    waits_for: str | None = None
    block: bool = False
    input: JSON = None
    tool: str | None = None
    key: str | None = None


class JournalView(msgspec.Struct):
    """The state of one run for display. `steps`: by path, in the order of their first event."""

    run_id: str
    actions: dict[str, str]
    name: str = ""
    status: str = "queued"
    started_at: float | None = None
    finished_at: float | None = None
    steps: dict[str, StepView] = {}  # msgspec copies an empty default

    def step(self, path: str, at: float | None = None) -> StepView:
        """Return the view of a path; create it on first use. `at`: also mark the enclosing lists as started at this time."""
        found = self.steps.get(path)
        if found is None:
            holder = parent_path(path)
            if holder and at is not None and holder not in self.steps and not _is_of_agent(holder):
                self.block(holder, at)
            found = self.steps[path] = StepView(path, self.actions.get(declared_path(path), ""))
        return found

    def block(self, path: str, at: float) -> StepView:
        """Return the view of a list of steps and mark it as started. Most lists have no start event of their own."""
        found = self.step(path, at)
        if found.status == "pending":
            found.block, found.action, found.status, found.started_at = True, "", "running", at
        return found


def _is_of_agent(holder: str) -> bool:
    """Whether it holds the turns of an agent or the calls of a turn: these stand below the agent and the turn themselves."""
    return holder.endswith((".turn", ".call", ".compact"))


def is_undo(path: str) -> bool:
    """Return true for the list of an undo step: `charge.undo`, `charge.undo@2`."""
    return declared_path(path).endswith(".undo")


def tree_order(paths: Iterable[str]) -> list[tuple[int, str, str]]:
    """Order paths as a tree: `(depth, path, label)`, each path below its nearest listed ancestor, siblings in the given order.

    `label`: the part of the path that its ancestors do not show, such as `probe` for `each[2].probe` below `each[2]`.
    """
    listed = list(paths)
    known = set(listed)
    below: dict[str, list[str]] = {}
    for path in listed:
        holder = parent_path(path)
        while holder and holder not in known:
            holder = parent_path(holder)
        below.setdefault(holder, []).append(path)
    ordered: list[tuple[int, str, str]] = []
    stack = [(0, path, path) for path in reversed(below.get("", []))]
    while stack:
        depth, path, label = stack.pop()
        ordered.append((depth, path, label))
        stack.extend((depth + 1, child, child[len(path) :].lstrip(".")) for child in reversed(below.get(path, [])))
    return ordered
