"""Reports on a store: findings, verdicts, figures."""

from __future__ import annotations

from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core.events import Usage
from agentctl.core.timestamps import rfc3339


class Finding(msgspec.Struct, frozen=True):
    """One result of `agentctl doctor`.

    `check`: dotted name of the check.
    `fix`: what to do about it; "" when all is well.
    """

    check: str
    status: Literal["ok", "warning", "error"]
    message: str
    fix: str = ""


Verdict = Literal["good", "bad", "false-positive"]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What one author said of a run. `by`: a person's login name or a loop's name; None: a person whose name was not kept."""

    verdict: Verdict
    note: str | None
    by: str | None
    person: bool
    at: float

    def to_json(self) -> dict[str, JSON]:
        return {"verdict": self.verdict, "note": self.note, "by": self.by, "at": rfc3339(self.at)}


class ToolFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one tool. `p95`: seconds from start to end."""

    calls: int
    failed: int
    p95: float


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What agents and models did. `refused`: calls that were not made, because of a wall, their arguments or a person.

    `by_model`: the usage of each, of llm steps as well.
    """

    turns: int = 0
    calls: int = 0
    refused: int = 0
    by_model: dict[str, Usage] = {}
    by_tool: dict[str, ToolFigures] = {}


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counters over the runs of one definition. `p50`, `p95`: seconds from start to end, of the runs that ended.

    `usage`: what they cost, the skills that they waited for included.  `saved`: what they did not have to buy again when they
    continued after an interruption or a resume (defined in `store.statistics.spared`).
    """

    name: str
    kind: str
    runs: int
    succeeded: int
    failed: int
    cancelled: int
    p50: float | None
    p95: float | None
    usage: Usage | None
    saved: Usage | None
    models: ModelFigures = ModelFigures()

    @property
    def success_rate(self) -> float | None:
        """Of the runs that succeeded or failed; None while none has."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How much was removed, or would be. `files`: large outputs and logs that nothing referred to any more, of `bytes`."""

    runs: int = 0
    events: int = 0
    slots: int = 0
    results: int = 0
    definitions: int = 0
    files: int = 0
    bytes: int = 0
