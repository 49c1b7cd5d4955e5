"""A definition as the interpreter sees it: frozen, JSON-able, free of YAML and of positions but for a line per step.

`language.build` makes these from YAML; `core.graph` indexes them. They are msgspec structs so that the compiled form of
a definition can be kept in the store, keyed by the hash of its text, and read back without a YAML parser.
Durations are seconds (float). `Template` is a value with `${{ }}` inside, compiled (see `expressions`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.expressions.template import Template

RUN_EVENTS = "agentctl.run."  # how the names of the events begin that say what became of a run


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a failed attempt is tried again (docs/language.md). `attempts` counts the first; times in seconds."""

    attempts: int = 1
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 300.0
    jitter: float = 0.2
    on: tuple[str, ...] | None = None  # None: everything that is retryable by its type
    never: tuple[str, ...] = ()


class Cache(msgspec.Struct, frozen=True):
    key: Template
    ttl: float


class Task(msgspec.Struct, frozen=True, tag="task", tag_field="kind"):
    """A leaf that a driver performs: shell, python, http, llm, set, emit, remember, history, publish.

    `params` evaluates to a mapping, whose shape belongs to the action of that name:
      shell     {run | argv, cwd, env, stdin, parse, ok_codes, interpreter}
      python    {function, with}
      http      {method, url, headers, query, json, body, ok, parse, max_bytes}
      llm       {prompt | messages, system, model, schema, temperature, max_tokens, fallback_models}
      set       the mapping itself
      remember  the mapping itself
      emit      {event, data, id}
    """

    uses: str
    params: Template


class Skill(msgspec.Struct, frozen=True, tag="skill", tag_field="kind"):
    """`name` "": of the tool `use_skill`, whose argument `name` says which."""

    name: str
    arguments: Template  # `with`: evaluates to a mapping
    detach: bool = False


class Group(msgspec.Struct, frozen=True, tag="group", tag_field="kind"):
    steps: tuple[Step, ...]
    output: Template | None = None


class Foreach(msgspec.Struct, frozen=True, tag="foreach", tag_field="kind"):
    items: Template
    steps: tuple[Step, ...]
    item_name: str = "item"  # `as`
    max_parallel: int = 1
    output: Template | None = None


class Repeat(msgspec.Struct, frozen=True, tag="repeat", tag_field="kind"):
    steps: tuple[Step, ...]
    until: Template | None = None
    condition: Template | None = None  # `while`
    max: int = 10
    every: float = 0.0
    on_max: Literal["fail", "continue"] = "fail"
    output: Template | None = None


class Wait(msgspec.Struct, frozen=True, tag="wait", tag_field="kind", omit_defaults=True):
    """Exactly one of `duration`, `until`, `event`, `run` is set. Each evaluates to text:
    a duration, an RFC 3339 time (or a number of epoch seconds), an event's name, a run id."""

    duration: Template | None = None
    until: Template | None = None
    event: Template | None = None
    run: Template | None = None
    condition: Template | None = None  # `if` of an event wait, evaluated with `event` bound to the one offered
    timeout: float | None = None
    on_timeout: Literal["fail", "continue"] = "fail"


class Approve(msgspec.Struct, frozen=True, tag="approve", tag_field="kind", omit_defaults=True):
    message: Template
    show: Template | None = None
    form: Template = Template(["lit", {}])  # evaluates to name -> JSON Schema
    timeout: float | None = None
    on_timeout: Literal["fail", "reject", "approve"] = "fail"


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """That a person signs a call of a tool before it is made. `condition`: an expression over `args`; None: every call.

    `edit`: the arguments for which a person may sign other values.
    """

    condition: Template | None = None
    timeout: float | None = None
    on_timeout: Literal["reject", "approve"] = "reject"
    edit: tuple[str, ...] = ()


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tool of an agent: a step whose templates also see `args`.

    name: how the model calls it.
    kind: `step` (the model fills the holes of a step), or the word of a short form: skill, python, shell, http, emit, ask ...
    parameters: JSON Schema of the arguments; None: the driver looks it up when the agent starts.
    step: what a call does; its id is `call`.
    serial: its calls run one at a time.
    memory: of `remember`, the keys of the state that the model may set, each with its JSON Schema.
    library: of `find_skill`, the pattern of the names of the skills that it finds.
    """

    name: str
    kind: str
    step: Step
    description: str = ""
    parameters: JSON = None
    signature: Signature | None = None
    max_calls: int | None = None
    serial: bool = False
    memory: dict[str, JSON] | None = None
    library: str | None = None


class Agent(msgspec.Struct, frozen=True, tag="agent", tag_field="kind", omit_defaults=True):
    """`params` evaluates to {goal, system, model, fallback_models, max_tokens, temperature, schema}.

    `compact_at`: share of the model's context from which the conversation is shortened; `compact_keep`: its last turns stay.

    `retry`, `turn_timeout`: of each turn.  `observation`: bytes of one result that the model reads.
    """

    params: Template
    tools: tuple[Tool, ...] = ()
    max_turns: int = 20
    on_limit: Literal["fail", "answer"] = "fail"
    stall: int = 3
    max_parallel: int = 8
    observation: int = 32768
    compact_at: float = 0.7
    compact_keep: int = 6
    retry: Retry = Retry(attempts=3)
    turn_timeout: float | None = None


class Turn(msgspec.Struct, frozen=True, tag="turn", tag_field="kind"):
    """One request of an agent. It stands in no definition: the interpreter makes such steps while an agent runs."""


class Fail(msgspec.Struct, frozen=True, tag="fail", tag_field="kind"):
    """`params` evaluates to {type, message, data}; type defaults to `failed`."""

    params: Template


class Return(msgspec.Struct, frozen=True, tag="return", tag_field="kind"):
    value: Template


Action = Task | Skill | Group | Foreach | Repeat | Wait | Approve | Agent | Turn | Fail | Return


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    action: Action
    uses: str  # the word the user wrote: shell, llm, foreach, steps, wait ...
    line: int = 0
    name: str | None = None
    condition: Template | None = None  # `if`
    needs: tuple[str, ...] = ()  # complete: as written or the step before, with the ones implied by references
    timeout: float | None = None
    retry: Retry = Retry()
    fallback: tuple[Step, ...] = ()
    continue_on_error: bool = False
    effect: Literal["repeatable", "once"] = "repeatable"
    on_unknown: Literal["ask", "fail", "probe"] = "ask"
    probe: tuple[Step, ...] = ()
    idempotency_key: Template | None = None
    cache: Cache | None = None
    undo: Step | None = None


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One declared input: its JSON Schema, and the default if `has_default`."""

    schema: JSON
    has_default: bool = False
    default: JSON = None


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    tokens: int | None = None
    usd: float | None = None
    per: Literal["run", "day"] = "run"


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a run starts by itself (docs/language.md, Triggers).

    kind: the name of a `TriggerSpec`.
    what: the cron expression, the period, the event's name, the webhook's path or the pattern of files, as written.
    settings: its other keys as written, but for `if` and `input`; they convert to the struct that the spec names.
    condition: its `if`.
    input: input name -> its value; None: the keys of `event.data` that are inputs.
    """

    kind: str
    what: str
    settings: dict[str, JSON] = {}
    condition: Template | None = None
    input: dict[str, Template] | None = None


class Concurrency(msgspec.Struct, frozen=True, omit_defaults=True):
    limit: int
    key: Template | None = None
    on_limit: Literal["queue", "skip", "cancel_running"] = "queue"


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """`limit` starts in any span of `per` seconds."""

    limit: int
    per: float
    key: Template | None = None


class Debounce(msgspec.Struct, frozen=True, omit_defaults=True):
    seconds: float  # `for`
    key: Template | None = None


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    size: int
    seconds: float  # `for`
    key: Template | None = None


class Dedupe(msgspec.Struct, frozen=True, omit_defaults=True):
    key: Template
    seconds: float = 86_400.0  # `for`


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many runs of a definition start, and when (docs/language.md, Flow control)."""

    concurrency: Concurrency | None = None
    throttle: Rate | None = None
    rate_limit: Rate | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    priority: Template | None = None
    dedupe: Dedupe | None = None


# The lists of steps that run once the others are done; `finally` comes last.
HANDLERS = ("on_failure", "on_success", "on_cancel", "finally")


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: Literal["loop", "skill"]
    name: str
    steps: tuple[Step, ...]
    description: str = ""
    input: dict[str, Input] = {}
    timeout: float | None = None
    output: Template | None = None
    on_failure: tuple[Step, ...] = ()
    on_success: tuple[Step, ...] = ()
    on_cancel: tuple[Step, ...] = ()
    finally_: tuple[Step, ...] = msgspec.field(default=(), name="finally")
    budget: Budget | None = None
    triggers: tuple[Trigger, ...] = ()
    flow: Flow = Flow()
    permissions: JSON = None
    skills: tuple[str, ...] = ()  # names of every skill it calls, anywhere

    def handler(self, name: str) -> tuple[Step, ...]:
        """The steps of one of HANDLERS; empty when the definition has none."""
        return {
            "on_failure": self.on_failure,
            "on_success": self.on_success,
            "on_cancel": self.on_cancel,
            "finally": self.finally_,
        }[name]


class StoredDefinition(msgspec.Struct, frozen=True):
    """A definition with what it was compiled from.

    version: SHA-256 of the file's bytes, in hex.
    source: the YAML text, for `--latest`, `show` and error positions.
    file: the file's name as shown, relative to the project's root where there is one.
    """

    version: str
    definition: Definition
    source: str
    file: str


def encode(definition: Definition) -> bytes:
    """The compiled form of a definition, for the store."""
    return msgspec.msgpack.encode(definition)


def decode(data: bytes) -> Definition:
    """The inverse of `encode`. Raises msgspec.ValidationError when the form is of another agentctl version."""
    return msgspec.msgpack.decode(data, type=Definition)
