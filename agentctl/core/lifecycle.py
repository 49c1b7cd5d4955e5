"""The life of a run and the life of a step, one table each. No other module assigns a status.

A step:

    pending ──StepStarted──> running ──StepSucceeded──> succeeded | recovered | reused
       │                      │  ^
       │                      │  └── StepStarted ── retrying <──RetryScheduled──┐   (or <──AttemptWithdrawn── running)
       │                      └── AttemptFailed ──────────────────────────> failing ──StepFailed──> failed
       │                                                                     │  └── BlockStarted (fallback) ──> running
       ├──StepSkipped──> skipped                                             └── StepCancelled ──> cancelled
       └──(its list failed)──> not_run

`waiting` stands in place of `running` for steps that a timer, an event, a person or another run answers. `failing` lasts only
inside one decision: an attempt has failed and what follows is being decided. `unknown`: an attempt of an `effect: once` step
was begun and nobody can say how it ended; a person, or its probe, decides.

A run:

    queued ──RunStarted──> running ──Settled──> settled ──RunFinished──> succeeded | failed | cancelled ──RunResumed──> running

`settled`: the outcome is known; running attempts are being stopped, undo steps and handlers run. Outside the core it shows as
running (or waiting), which are one state of the run: whether an attempt is under way is derived, not stored.
"""

from __future__ import annotations

from typing import Protocol

from agentctl.errors import IllegalTransition

# Statuses of a step after which it never changes, unless the run is resumed.
ENDED = frozenset({"succeeded", "recovered", "reused", "skipped", "not_run", "failed", "cancelled"})
# ... and those after which the steps that need it start.
WELL = frozenset({"succeeded", "recovered", "reused", "skipped"})

# Kinds whose attempts are answered by a timer, an event, a person or another run: `StepStarted` makes them `waiting`.
WAITING_KINDS = frozenset({"wait", "approve", "skill", "return"})

# status -> event -> the next status. Names that are no event of the journal stand for an event and what it says, or for what a
# fold derives: StepRecovered and StepReused (StepSucceeded with that status), FallbackStarted (BlockStarted of a fallback),
# StepCancelledInDoubt (an `effect: once` attempt that gave no answer), NotRun (its list ended without it), Reopened (a container
# that a resume continues), Signed
# (ApprovalGiven for a call that waits to be made), DoubtMoved (a later round of the step has taken the doubt over).
STEP: dict[str, dict[str, str]] = {
    # AttemptFailed while pending: an expression of its inputs failed.  StepKeyed: a recorded result is looked for first.
    # OutcomeUnknown while pending: its attempt in an earlier round of the list is in doubt.
    "pending": {
        "StepStarted": "running",
        "StepSkipped": "skipped",
        "StepReused": "reused",
        "AttemptFailed": "failing",
        "StepKeyed": "waiting",
        "SignatureAsked": "waiting",
        "OutcomeUnknown": "unknown",
        "NotRun": "not_run",
        "Reopened": "running",
    },
    # StepFailed while running: the step's fallback failed.  AttemptWithdrawn: it never began, so its turn is still to come.
    "running": {
        "AttemptWithdrawn": "retrying",
        "StepSucceeded": "succeeded",
        "StepRecovered": "recovered",
        "StepReused": "reused",
        "AttemptFailed": "failing",
        "StepCancelled": "cancelled",
        "StepCancelledInDoubt": "unknown",
        "StepFailed": "failed",
        "OutcomeUnknown": "unknown",
        "Reopened": "running",
    },
    "waiting": {
        "StepSucceeded": "succeeded",
        "StepReused": "reused",
        "AttemptFailed": "failing",
        "StepCancelled": "cancelled",
        "ResultMissing": "pending",
        "Signed": "pending",
    },
    "failing": {
        "RetryScheduled": "retrying",
        "StepFailed": "failed",
        "StepCancelled": "cancelled",
        "StepCancelledInDoubt": "unknown",
        "FallbackStarted": "running",
        "OutcomeUnknown": "unknown",
    },
    # All but StepStarted, AttemptFailed and StepCancelled: its expressions failed before, and are evaluated again.
    "retrying": {
        "StepStarted": "running",
        "AttemptFailed": "failing",
        "StepCancelled": "cancelled",
        "StepSkipped": "skipped",
        "StepReused": "reused",
        "StepKeyed": "waiting",
        "OutcomeUnknown": "unknown",
    },
    # A cancelled run does not remove the doubt.
    "unknown": {
        "StepSucceeded": "succeeded",
        "StepReused": "reused",
        "StepStarted": "running",
        "AttemptFailed": "failing",
        "StepFailed": "failed",  # an answer to a run that has ended
        "StepCancelled": "cancelled",  # after a move to a definition in which the effect is repeatable
        "StepCancelledInDoubt": "unknown",
        "DoubtMoved": "cancelled",
    },
}

RUN: dict[str, dict[str, str]] = {
    "new": {"RunCreated": "queued"},
    "queued": {"RunStarted": "running", "CancelRequested": "queued", "Settled": "settled"},
    "running": {"RunRecovered": "running", "CancelRequested": "running", "Settled": "settled"},
    "settled": {"RunRecovered": "settled", "CancelRequested": "settled", "RunFinished": "finished"},
    "finished": {"RunResumed": "running", "StepResolved": "settled"},  # StepResolved: what is in doubt is to be undone, or not
}
FIRST_PHASE = "new"


class _Step(Protocol):
    path: str
    status: str


class _Run(Protocol):
    phase: str


def next_status(path: str, status: str, event: str, kind: str = "") -> str:
    """Return the status that `event` leads to, for a step of that kind. Raises IllegalTransition for an unknown pair."""
    try:
        target = STEP[status][event]
    except KeyError:
        raise IllegalTransition(f"step {path}: {event} while {status}") from None
    return "waiting" if event == "StepStarted" and kind in WAITING_KINDS else target


def move(step: _Step, event: str, kind: str = "") -> None:
    """Give a step the status that `event` leads to. Raises IllegalTransition."""
    step.status = next_status(step.path, step.status, event, kind)


def reset(step: _Step) -> None:
    """Make a step pending: it is new, or a resume runs it again."""
    step.status = "pending"


def restore(step: _Step, status: str) -> None:
    """Give a step the status that a snapshot of it has."""
    step.status = status


def move_run(run: _Run, event: str) -> None:
    """Give a run the phase that `event` leads to. Raises IllegalTransition."""
    try:
        run.phase = RUN[run.phase][event]
    except KeyError:
        raise IllegalTransition(f"run: {event} while {run.phase}") from None


def restore_run(run: _Run, phase: str) -> None:
    """Give a run the phase that a snapshot of it has."""
    run.phase = phase
