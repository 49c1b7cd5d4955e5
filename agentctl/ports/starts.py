"""What starts runs: events, what is gathered of them, slots of schedules, deployed definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from agentctl import JSON
from agentctl.core.emission import NewEvent
from agentctl.ports.runs import Admission, NewRun


class Gather(msgspec.Struct, frozen=True, kw_only=True):
    """The event it comes with is to be gathered with others, by `debounce` or `batch`, into a run of definition `name`.

    `trigger`: the number of the trigger among the definition's.  `group`: events with the same are gathered together.
    `seconds`: how long it has to be quiet, or to be collected.  `size`: of a batch; None: debounce, the newest event counts.
    `depth`: of the event, see `NewEvent`.
    """

    name: str
    trigger: int
    group: str
    seconds: float
    size: int | None = None
    depth: int = 0


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """Events that are gathered and due to become a run. `events`: their documents, oldest first; of a debounce,
    one.

    `revision` changes with every event that makes these no longer due: any further one of a debounce; of a batch none, for later
    ones wait for the next run, but it changes when these became a run.
    `depth`: of the deepest of the events.
    """

    name: str
    trigger: int
    group: str
    events: list[JSON]
    revision: int
    depth: int = 0


class Triggered(msgspec.Struct, frozen=True):
    """What an event starts: `runs`, and what it is gathered for."""

    runs: Sequence[NewRun] = ()
    gather: Sequence[Gather] = ()


NOTHING = Triggered()


class SendResult(msgspec.Struct, frozen=True):
    """What became of an event. `duplicate`: one with its id is known, so it was dropped.  `delivered`: runs it was offered to.

    `started`: what became of the runs that it was to start, in their order.  `gathered`: the definitions for which it is kept
    together with others, until they become a run.
    """

    duplicate: bool
    delivered: list[str]
    started: list[Admission] = []
    gathered: list[str] = []

    def document(self, event_id: str, started: Iterable[str] | None = None) -> dict[str, JSON]:
        """What whoever sent it is answered. `started`: ids of the runs, when it started more than the fields here say."""
        created = [found.run_id for found in self.started if found.outcome == "created"]
        runs = created if started is None else list(started)
        return {"event_id": event_id, "duplicate": self.duplicate, "started": runs, "delivered": self.delivered}


class Triggers(Protocol):
    """Which runs an event starts, by the triggers of the definitions that are deployed."""

    def starts(self, event: NewEvent) -> Triggered:
        """Reads the store; evaluates each trigger's `if` and `input`. Cheap when nothing is triggered by an event of that
        name."""


SlotOutcome = Literal["fired", "skipped", "missed", "overlapped"]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of a schedule and what becomes of it. `schedule`: Schedule.key.  `run`: with `fired`, the run it starts.

    `reason`: a sentence for people; empty when it fired on time.
    """

    name: str
    schedule: str
    slot: float
    outcome: SlotOutcome
    reason: str = ""
    run: NewRun | None = None

    def became(self, admission: Admission) -> SlotOutcome:
        """Its outcome, once it is known what became of its run."""
        if admission.outcome == "created":
            return "fired"
        return "overlapped" if admission.outcome == "overlapped" else "skipped"


class SlotRow(msgspec.Struct, frozen=True, kw_only=True):
    """A slot as the ledger has it. `at`: when it was settled.  `run_id`: of the run it started."""

    name: str
    schedule: str
    slot: float
    outcome: SlotOutcome
    reason: str
    at: float
    run_id: str | None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as triggers see it. `version`: the last good one, "" when there never was one.  `file`: relative to the root.

    `problem`: why the file as it is now is not used, for people; None when it is.  `gone`: the file has disappeared: nothing
    triggers it any more.  `paused_at`: since when it is paused, None when it is not.  `deployed_at`: of this version.
    `root`: of the project whose files decide on it, relative to the store's folder, so that both may be moved together.
    """

    name: str
    kind: str
    file: str
    version: str
    deployed_at: float
    problem: str | None = None
    gone: bool = False
    paused_at: float | None = None
    root: str = ""


class Subscription(msgspec.Struct, frozen=True):
    """An event trigger of a deployed definition: `trigger` is its number among the triggers of that version."""

    name: str
    version: str
    trigger: int


class SeenFile(msgspec.Struct, frozen=True):
    """A version of a file that a file trigger has dealt with. `path`: relative to the project's root.  `stamp`: changes whenever
    the file may have."""

    path: str
    stamp: str
    sha256: str
