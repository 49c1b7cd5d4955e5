"""What a driver has to do next. Every input is already evaluated; secrets stand as references.

A driver performs commands only after the commit that holds the events they came with. Each command can be derived again
from the state (`interpreter.open_commands`), which is what recovery does.
"""

from __future__ import annotations

import msgspec

from agentctl import JSON
from agentctl.core.events import Error


class Execute(msgspec.Struct, frozen=True):
    """Perform one attempt of a leaf and answer with StepSucceeded or AttemptFailed of that attempt.

    `timeout`: seconds for the attempt.  `previous`: the error of the attempt before, if any.
    """

    path: str
    attempt: int
    uses: str
    params: JSON
    secrets: list[JSON]
    timeout: float | None
    idempotency_key: str
    previous: Error | None


class Stop(msgspec.Struct, frozen=True):
    """End the attempt under way; the answer is still awaited (AttemptFailed of type `cancelled`, or its success)."""

    path: str
    attempt: int


class SetTimer(msgspec.Struct, frozen=True):
    """Answer with TimerFired(path, timer) at `due` (epoch seconds), or as soon as possible after it."""

    path: str
    timer: str
    due: float


class StartChild(msgspec.Struct, frozen=True):
    """Create the run `run_id` of skill `name` in the commit that journals this (or resume it, if it is there and ended).

    With `detach` nothing is awaited; else answer with ChildFinished.
    """

    path: str
    run_id: str
    name: str
    input: dict[str, JSON]
    detach: bool


class AwaitRun(msgspec.Struct, frozen=True):
    """Answer with ChildFinished once that run has ended; at once if it has. No such run: status `not_found`."""

    path: str
    run_id: str


class CancelChild(msgspec.Struct, frozen=True):
    """Ask that run to cancel; ChildFinished is still awaited."""

    path: str
    run_id: str


class AwaitEvent(msgspec.Struct, frozen=True):
    """Offer every event of that name (`*` matches one dotted part) with EventOffered: those kept since `since`, then new ones."""

    path: str
    name: str
    since: float


class AwaitPerson(msgspec.Struct, frozen=True):
    """List the step as waiting for a person. `what`: approval, or unknown (an outcome to look up).

    The answer is ApprovalGiven with this `digest`, or StepResolved. `subject`: what to show, {message, show, form} or {error}.
    """

    path: str
    what: str
    digest: str
    subject: JSON


class CancelWait(msgspec.Struct, frozen=True):
    """The step no longer waits for an event, a person or a recorded result. A claim that it holds stays its own."""

    path: str


class LookupResult(msgspec.Struct, frozen=True):
    """Answer with ResultFound, or claim the key for this step and answer with ResultMissing; wait while another holds it.

    A result is of the definition's name and of the `step` path without item numbers; `ttl`: not older than that, in seconds.
    """

    path: str
    step: str
    key: str
    ttl: float | None


class StoreResult(msgspec.Struct, frozen=True):
    """Record `output` under the key that the step claimed, in the commit that journals its success.

    `ttl`: seconds that it is of use for, by this version of the definition; None: for ever.
    """

    path: str
    step: str
    key: str
    output: JSON
    ttl: float | None = None


class ReleaseClaim(msgspec.Struct, frozen=True):
    """The step ended without a result to keep: its claim on the key goes to the next step in the queue."""

    path: str
    step: str
    key: str


class InvalidateResult(msgspec.Struct, frozen=True):
    """What the step did has been undone: the result that it recorded is handed to nobody any more."""

    path: str
    step: str
    key: str


class Remember(msgspec.Struct, frozen=True):
    """Set these durable values of the definition's name, in the commit that journals the step's success."""

    path: str
    values: dict[str, JSON]


class Finish(msgspec.Struct, frozen=True):
    """The run is over: release it and notify its parent."""

    status: str
    output: JSON
    error: Error | None


Command = (
    Execute
    | Stop
    | SetTimer
    | StartChild
    | AwaitRun
    | CancelChild
    | AwaitEvent
    | AwaitPerson
    | CancelWait
    | LookupResult
    | StoreResult
    | ReleaseClaim
    | InvalidateResult
    | Remember
    | Finish
)
