"""The life of a run and the life of a step, one table each. Nothing changes a status but through these.

A step:

    pending ──StepStarted──> running ──StepSucceeded──> succeeded | recovered | reused
       │                      │  ^
       │                      │  └── StepStarted ── retrying <──RetryScheduled──┐   (or <──AttemptWithdrawn── running)
       │                      └── AttemptFailed ──────────────────────────> failing ──StepFailed──> failed
       │                                                                     │  └── BlockStarted (fallback) ──> running
       ├──StepSkipped──> skipped                                             └── StepCancelled ──> cancelled
       └──(its list failed)──> not_run

`waiting` stands where `running` does for steps that a timer, an event, a person or another run will answer. `failing` lasts only
inside one decision: an attempt has failed and what follows is being decided. `unknown`: an attempt of an `effect: once` step
was begun and nobody can say how it ended; a person, or its probe, moves it on.

A run:

    queued ──RunStarted──> running ──Settled──> settled ──RunFinished──> succeeded | failed | cancelled ──RunResumed──> running

`settled`: the outcome is known; running attempts are being stopped, undo steps and handlers run. Outside the core it shows as
running (or waiting), which are one state of the run: whether an attempt is under way is derived, not stored.
"""

from __future__ import annotations

from agentctl.errors import IllegalTransition

# Statuses of a step after which it never changes, unless the run is resumed.
ENDED = frozenset({"succeeded", "recovered", "reused", "skipped", "not_run", "failed", "cancelled"})
# ... and those with which what needs the step goes on.
WELL = frozenset({"succeeded", "recovered", "reused", "skipped"})

STEP: dict[str, dict[str, str]] = {
    # AttemptFailed while pending: an expression of its inputs failed.  StepKeyed: a recorded result is looked for first.
    # OutcomeUnknown while pending: its attempt in an earlier round of the list is in doubt
    "pending": {
        "StepStarted": "running",
        "StepSkipped": "skipped",
        "StepSucceeded": "succeeded",
        "AttemptFailed": "failing",
        "StepKeyed": "waiting",
        "OutcomeUnknown": "unknown",
        "NotRun": "not_run",
    },
    # StepFailed while running: the step's fallback failed.  AttemptWithdrawn: it never began, so its turn is still to come
    "running": {
        "AttemptWithdrawn": "retrying",
        "StepSucceeded": "succeeded",
        "AttemptFailed": "failing",
        "StepCancelled": "cancelled",
        "StepFailed": "failed",
        "OutcomeUnknown": "unknown",
    },
    "waiting": {
        "StepSucceeded": "succeeded",
        "AttemptFailed": "failing",
        "StepCancelled": "cancelled",
        "ResultMissing": "pending",
    },
    "failing": {
        "RetryScheduled": "retrying",
        "StepFailed": "failed",
        "StepCancelled": "cancelled",
        "BlockStarted": "running",
        "OutcomeUnknown": "unknown",
    },
    # all but the first three: its expressions failed before, and are evaluated once more
    "retrying": {
        "StepStarted": "running",
        "AttemptFailed": "failing",
        "StepCancelled": "cancelled",
        "StepSkipped": "skipped",
        "StepSucceeded": "succeeded",
        "StepKeyed": "waiting",
        "OutcomeUnknown": "unknown",
    },
    # a cancelled run does not make the doubt go away
    "unknown": {
        "StepSucceeded": "succeeded",
        "StepStarted": "running",
        "AttemptFailed": "failing",
        "StepCancelled": "unknown",
    },
}

RUN: dict[str, dict[str, str]] = {
    "new": {"RunCreated": "queued"},
    "queued": {"RunStarted": "running", "CancelRequested": "queued", "Settled": "settled"},
    "running": {"RunRecovered": "running", "CancelRequested": "running", "Settled": "settled"},
    "settled": {"RunRecovered": "settled", "CancelRequested": "settled", "RunFinished": "finished"},
    "finished": {"RunResumed": "running"},
}


def next_step_status(path: str, status: str, event: str) -> str:
    """The status that `event` leads to. Raises IllegalTransition: the one place where an unknown pair fails."""
    try:
        return STEP[status][event]
    except KeyError:
        raise IllegalTransition(f"step {path}: {event} while {status}") from None


def next_run_phase(phase: str, event: str) -> str:
    """The phase of the run that `event` leads to. Raises IllegalTransition."""
    try:
        return RUN[phase][event]
    except KeyError:
        raise IllegalTransition(f"run: {event} while {phase}") from None
