"""What happened to a run. The journal is a list of these, and the state of a run is only ever their fold.

Every event is frozen, JSON, and carries `at`: epoch seconds at which it happened, read from the driver's clock.
External events come from outside (an attempt ended, a timer fired, somebody asked to cancel). The others are decisions:
`core.interpreter.decide` derives them and a driver journals them in the same commit as the external event they follow
from. A decision that depended on an expression is recorded, so a fold evaluates nothing.

The file is long because every event stands in it: together they are the format of a journal.
"""

from __future__ import annotations

import msgspec

from agentctl import JSON
from agentctl.errors import ErrorOutcome
from agentctl.spec import error_type


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """The error object of steps and runs.

    `step`: path of the step where it arose.
    `outcome`: what is known of the effect of the attempt; None: what is usual for `type`.
    """

    type: str
    message: str
    step: str | None = None
    attempts: int = 0
    data: JSON = None
    outcome: ErrorOutcome | None = None

    @property
    def known_outcome(self) -> ErrorOutcome:
        """What is known of the effect of the attempt that failed with this."""
        if self.outcome is not None:
            return self.outcome
        if isinstance(self.data, dict) and self.data.get("sent") is False:
            return "not_begun"
        known = error_type(self.type)
        return "unknown" if known is not None and known.unknown else "answered"

    @property
    def leaves_doubt(self) -> bool:
        """Whether the attempt may have taken effect although it failed."""
        return self.known_outcome == "unknown"

    def to_json(self) -> dict[str, JSON]:
        return {"type": self.type, "message": self.message, "step": self.step, "attempts": self.attempts, "data": self.data}


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What llm calls cost. `usd` is None where the price of the model is not known."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    model: str | None = None
    cached_tokens: int = 0
    latency_ms: int = 0

    def to_json(self) -> dict[str, JSON]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def add_usage(total: Usage | None, more: Usage) -> Usage:
    """The sum of two; `usd` is known as far as either is; `model` of the later one."""
    if total is None:
        return more
    usd = None if total.usd is None and more.usd is None else (total.usd or 0.0) + (more.usd or 0.0)
    return Usage(
        input_tokens=total.input_tokens + more.input_tokens,
        output_tokens=total.output_tokens + more.output_tokens,
        usd=usd,
        model=more.model or total.model,
        cached_tokens=total.cached_tokens + more.cached_tokens,
        latency_ms=total.latency_ms + more.latency_ms,
    )


def less_usage(total: Usage, part: Usage | None) -> Usage:
    """What `total` has beyond `part`, an earlier reading of the same count."""
    if part is None:
        return total
    usd = None if total.usd is None else total.usd - (part.usd or 0.0)
    return Usage(
        input_tokens=total.input_tokens - part.input_tokens,
        output_tokens=total.output_tokens - part.output_tokens,
        usd=usd,
        model=total.model,
        cached_tokens=total.cached_tokens - part.cached_tokens,
        latency_ms=total.latency_ms - part.latency_ms,
    )


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """A budget that several runs draw on (see `core.budget`). `key`: `run/RUN` or `day/NAME`.  None: no such limit."""

    key: str
    tokens: int | None = None
    usd: float | None = None


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type"):
    at: float


class StepEvent(Event, frozen=True, omit_defaults=True, kw_only=True):
    path: str


# --- the run -------------------------------------------------------------------------------------------------------


class Parent(msgspec.Struct, frozen=True):
    run_id: str
    path: str
    depth: int = 1  # levels of skills above this run


# The rules by which the journals of new runs are folded. A change in what recorded events mean gets a new number, and the fold
# asks `RunState.replay_version` where it differs, so that a recorded journal folds to the same state for ever.
# 2: a `return` ends a handler, what handlers and undo steps did is not undone, the steps of an undo group have its path without a
#    round.
# 3: a recovered step keeps its error, an error has the attempts of its step, `skill.failed` has no nested chain, a call whose
#    cost is unknown counts as reserved.
REPLAY_VERSION = 3


class RunCreated(Event, frozen=True, omit_defaults=True, kw_only=True, tag="RunCreated"):
    """The first event of every journal. `version`: content hash of the definition the run is pinned to.

    `accounts`: the budgets of the runs above, on which this one draws too.
    `permissions`: those of the runs above, which bind this one too.
    `problem`: why the run cannot do its work, known when it was made (the event that started it makes no valid input): the run
    fails with it as it starts.
    `replay_version`: see REPLAY_VERSION.
    `event_depth`: how many emitted events led to this run, one after the other; a child run has its parent's.
    """

    run_id: str
    name: str
    kind: str
    version: str
    input: dict[str, JSON] = {}
    trigger: str = "manual"  # manual, cron, every, event, webhook, file, skill, backfill
    event: JSON = None  # {name, data, id, received_at, headers?} when an event started it
    parent: Parent | None = None
    scheduled_at: float | None = None
    vars: dict[str, JSON] = {}
    accounts: list[Account] = []
    permissions: list[JSON] = []
    problem: Error | None = None
    replay_version: int = msgspec.field(default=1, name="rules")
    event_depth: int = 0


class RunStarted(Event, frozen=True, omit_defaults=True, kw_only=True, tag="RunStarted"):
    """Left the queue. `state`: what `state.*` is for the whole run: the durable values of its name, as they were now.

    They are read here and not when the run is created: a run that queued behind another one sees what that one remembered.
    """

    state: dict[str, JSON] = {}


class RunRecovered(Event, frozen=True, omit_defaults=True, kw_only=True, tag="RunRecovered"):
    """A driver took over a run whose last driver died or left while attempts were under way: they execute again."""


class RunResumed(Event, frozen=True, omit_defaults=True, kw_only=True, tag="RunResumed"):
    """A person asked a failed or cancelled run to continue: what failed is tried again, what finished is kept.

    `redo`: paths whose results are dropped although they finished (`--from`, with all that depends on them).
    `version`: set when the run moves to an edited definition (`--latest`).  `vars`: the project's, as of now.
    `state`: as in RunStarted, for a run that was cancelled in the queue and starts only now.
    """

    redo: list[str] = []
    version: str | None = None
    vars: dict[str, JSON] | None = None
    state: dict[str, JSON] | None = None


class CancelRequested(Event, frozen=True, omit_defaults=True, kw_only=True, tag="CancelRequested"):
    reason: str | None = None


class BlockStarted(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="BlockStarted"):
    """A list of steps begins whose start is a decision: `poll[0]`, `assess.fallback`, `charge.undo`, `on_failure@2`.

    `role`: iteration, fallback, undo, handler; of an agent tools, turn, calls.
    `owner`: path of the step that holds the list; None for handlers.
    (A group's list and a foreach's items begin with their step, without an event.)
    """

    role: str
    owner: str | None = None
    input: JSON = None  # of a turn: what it reads beside what the calls before it came to, see `kinds.agent`


class BlockFinished(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="BlockFinished"):
    """An item, an iteration, an undo, a handler or (path "") a halted run's own list is over.

    `error` None: it succeeded with `output`.  `again`: a repeat decided on a further iteration after this one.
    """

    output: JSON = None
    error: Error | None = None
    again: bool = False


class Settled(Event, frozen=True, omit_defaults=True, kw_only=True, tag="Settled"):
    """The outcome of the run is decided; undo steps and handlers may still run. status: succeeded, failed, cancelled."""

    status: str
    output: JSON = None
    error: Error | None = None


class RunFinished(Event, frozen=True, omit_defaults=True, kw_only=True, tag="RunFinished"):
    status: str
    output: JSON = None
    error: Error | None = None


# --- a step --------------------------------------------------------------------------------------------------------


class StepStarted(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepStarted"):
    """An attempt begins. `input`: the action's parameters as evaluated, on the first attempt only (later ones use the same).

    `secrets`: where in `input` secret references stand: [[keys], [text or {"secret": NAME}, ...]] pairs.
    """

    attempt: int = 1
    input: JSON = None
    secrets: list[JSON] = []
    child: str | None = None  # run id of the skill this attempt starts


class StepSucceeded(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepSucceeded"):
    """External for leaves; a decision for groups, loops, waits, children and recovered steps."""

    attempt: int = 0  # which attempt it answers; 0: not an attempt's answer
    output: JSON = None
    usage: Usage | None = None
    status: str = "succeeded"  # or recovered, reused
    source: str | None = None  # reused: RUN/path of the step whose result it is


class AttemptFailed(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="AttemptFailed"):
    """External. What follows (another attempt, a fallback, failure) is decided after it."""

    attempt: int
    error: Error
    retry_after: float | None = None
    usage: Usage | None = None


class AttemptWithdrawn(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="AttemptWithdrawn"):
    """External. The driver that was to perform the attempt leaves and never began it: it is as if it had not been started."""

    attempt: int


class AttemptLost(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="AttemptLost"):
    """External. The process that performed this one attempt is gone without an answer: as RunRecovered, for a single attempt."""

    attempt: int


class RetryScheduled(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="RetryScheduled"):
    attempt: int  # the one to come
    due: float
    error: Error


class StepFailed(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepFailed"):
    """For good: no attempt and no fallback is left."""

    error: Error


class StepSkipped(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepSkipped"):
    pass


class StepCancelled(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepCancelled"):
    """Stopped before it ended: the run was cancelled, returned, or ran out of time."""


class TimerFired(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="TimerFired"):
    """External. `timer`: retry, timeout, wait, pause (between iterations), run (the run's own timeout; path is "")."""

    timer: str


class ChildFinished(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="ChildFinished"):
    """External. The run that step `path` waits for ended (a skill, or `wait: {run}`).

    `status`: how; `started` for a detached skill, whose run is only begun; `not_found` when there is no such run.
    `usage`: all that the run has cost so far, its own children included.
    """

    run_id: str
    status: str
    output: JSON = None
    error: Error | None = None
    usage: Usage | None = None


# --- doubt, events, people, recorded results ------------------------------------------------------------------------


class OutcomeUnknown(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="OutcomeUnknown"):
    """An attempt of an `effect: once` step was begun and nobody can say how it ended. It never executes again by itself."""

    error: Error


class StepResolved(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepResolved"):
    """External. A person has looked: the step of unknown outcome was `done` (with `output`), is to `retry`, or has `failed`."""

    verdict: str
    output: JSON = None
    by: str | None = None


class SignatureAsked(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="SignatureAsked"):
    """A call of an agent's tool waits until a person signs it.

    `shown`: {message, show, form}; `show` is what is signed, {tool, arguments, description, why, untrusted}.
    `digest`: the hash of `show`.
    """

    shown: dict[str, JSON]
    digest: str


class EventReceived(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="EventReceived"):
    """The event that an open `wait: {event}` took. `event`: {name, data, id, received_at, headers?}."""

    event: dict[str, JSON]


class EventOffered(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="EventOffered"):
    """External, never journaled: an event whose name fits. Its wait's `if` decides; taken, it becomes EventReceived.

    `kept`: it came before the wait was open, so it is not for it when an earlier wait of the run took it.
    """

    event: dict[str, JSON]
    kept: bool = False


class ApprovalGiven(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="ApprovalGiven"):
    """External. `digest`: the hash of what was shown to the person; an answer to anything else is not taken."""

    approved: bool
    digest: str
    by: str
    comment: str | None = None
    data: dict[str, JSON] = {}


class StepKeyed(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="StepKeyed"):
    """The step's `idempotency_key` or cache key was evaluated: is there a recorded result under it?

    `key`: canonical text of the value.  `ttl`: seconds a cached result is good for; None: for ever.
    """

    key: str
    ttl: float | None = None


class ResultFound(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="ResultFound"):
    """External. Step `source` (RUN/path) has succeeded with this key: its output is handed over."""

    output: JSON
    source: str


class ResultMissing(StepEvent, frozen=True, omit_defaults=True, kw_only=True, tag="ResultMissing"):
    """External. No result yet, and the key is now claimed for this step: it may run."""


External = (
    RunStarted
    | RunRecovered
    | RunResumed
    | CancelRequested
    | StepSucceeded
    | AttemptFailed
    | AttemptWithdrawn
    | AttemptLost
    | TimerFired
    | ChildFinished
    | StepResolved
    | EventReceived
    | EventOffered
    | ApprovalGiven
    | ResultFound
    | ResultMissing
)
Decision = (
    BlockStarted
    | BlockFinished
    | Settled
    | RunFinished
    | StepStarted
    | RetryScheduled
    | StepFailed
    | StepSkipped
    | StepCancelled
    | OutcomeUnknown
    | StepKeyed
    | SignatureAsked
)
AnyEvent = RunCreated | External | Decision

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """One line of the journal."""
    return _encoder.encode(event)


def decode(line: bytes | str) -> AnyEvent:
    """The inverse of `encode`. Raises msgspec.ValidationError for what no version of agentctl wrote."""
    return _decoder.decode(line)
