"""Runs as the ledger keeps them: rows, leases, mail, and how a new one is met."""

from __future__ import annotations

from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core.events import AnyEvent, Error, Parent, RunCreated, Usage
from agentctl.core.flow import Limits
from agentctl.core.timestamps import rfc3339

RunStatus = Literal["queued", "running", "waiting", "blocked", "succeeded", "failed", "cancelled", "interrupted"]
FINISHED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "waiting", "blocked", "interrupted")


class RunRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The projection of one run: what `history` prints. Times are epoch seconds.

    `status` as stored, but for a run stored as `running` without a living owner: `Runs.run`, `find` and `history` show it
    as `interrupted`, and filter it so.
    """

    id: str
    name: str
    kind: str
    version: str
    status: RunStatus
    trigger: str = "manual"
    parent: Parent | None = None
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    usage: Usage | None = None
    output: JSON = None
    error: Error | None = None
    wake_at: float | None = None  # when a waiting run wants to be driven again
    input: dict[str, JSON] = {}
    event: JSON = None
    head: int = 0  # number of events in its journal
    epoch: int = 0  # how often it was leased
    owner: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """One run as in `history --json`. `parent` is `{run_id, path}` of the step that started it; times in RFC 3339."""
        took = None if self.started_at is None or self.finished_at is None else self.finished_at - self.started_at
        return {
            "run_id": self.id,
            "loop": self.name,
            "kind": self.kind,
            "version": self.version,
            "status": self.status,
            "trigger": self.trigger,
            "parent": None if self.parent is None else {"run_id": self.parent.run_id, "path": self.parent.path},
            "created_at": rfc3339(self.created_at),
            "started_at": None if self.started_at is None else rfc3339(self.started_at),
            "finished_at": None if self.finished_at is None else rfc3339(self.finished_at),
            "duration_ms": None if took is None else max(0, round(took * 1000)),
            "steps_done": self.steps_done,
            "steps_total": self.steps_total,
            "usage": None if self.usage is None else usage_document(self.usage),
            "error": None if self.error is None else self.error.to_json(),
        }


def usage_document(usage: Usage) -> dict[str, JSON]:
    """What a run or a step cost, as in every JSON document."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "model": usage.model,
        "cached_tokens": usage.cached_tokens,
    }


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run's projection that an append rewrites."""

    status: RunStatus
    started_at: float | None
    finished_at: float | None
    steps_done: int
    steps_total: int
    usage: Usage | None = None
    output: JSON = None
    error: Error | None = None
    wake_at: float | None = None
    version: str | None = None  # set when the run moves to another definition


class Lease(msgspec.Struct, frozen=True):
    """The right to append to a run. `epoch` rises by one with every acquisition: a zombie's writes carry an old one.

    As of when it was given: `head`, events in its journal; `has_mail`, whether there was mail for it; and for a run that has not
    started `memory`, the durable values of its name (so that a run takes up its work without a query of its own).
    """

    run_id: str
    epoch: int
    head: int = 1
    has_mail: bool = False
    memory: dict[str, JSON] = {}


class Mail(msgspec.Struct, frozen=True):
    """Something for a run, written by a process that does not hold its lease: a cancel request, the end of a child."""

    id: int
    run_id: str
    event: AnyEvent


class Reply(msgspec.Struct, frozen=True):
    """Mail to send in the same commit: `event` for `run_id`. Mail for a run that does not exist is dropped."""

    run_id: str
    event: AnyEvent


class Awaiter(msgspec.Struct, frozen=True):
    """Run `run_id`, at step `path`, waits for the end of `target`."""

    run_id: str
    path: str
    target: str


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to create, queued. `created` is the first event of its journal and says the rest.

    `awaited`: its parent, if it has one, gets ChildFinished as mail, in the very commit in which this run finishes (no
    explicit Reply is needed). False for a detached child.
    """

    created: RunCreated
    awaited: bool = True
    limits: Limits = Limits()


class Admission(msgspec.Struct, frozen=True):
    """What became of a NewRun. `run_id`: the run's; of a duplicate, the first run's; None when there is none.

    `created`: it is queued.  `duplicate`: there was one with its id, or one with its key within the time of `dedupe`.
    `skipped`: a limit let no run be made (rate_limit, `on_limit: skip`).  `overlapped`: the `overlap` of its schedule did.
    `reason`: a sentence for people; empty when it is created.
    """

    run_id: str | None
    outcome: Literal["created", "duplicate", "skipped", "overlapped"]
    reason: str = ""


class QueuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run in a queue may not start yet. `reason`: names the limit and what is ahead; empty when nothing is in its way any
    more.  `until`: when it may, where that is known (throttle); None: as soon as a place is free.  `ours`: it is this
    process that starts it when its turn comes.  `holders`: the runs that have the places it waits for."""

    reason: str
    until: float | None = None
    ours: bool = False
    holders: tuple[str, ...] = ()


class HistoryFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which runs. `whole`: with output, input and event however large they are; else rows leave out large ones."""

    name: str | None = None
    status: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    parent: str | None = None
    trigger: str | None = None
    limit: int = 50
    whole: bool = False
