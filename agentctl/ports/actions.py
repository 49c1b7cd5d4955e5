"""Actions, what they may use of the world, the clock, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import msgspec

from agentctl import JSON
from agentctl.core.events import AnyEvent, Error, Usage
from agentctl.ports.runs import Progress
from agentctl.ports.store import Store

LargeKind = Literal["text", "json", "bytes"]

SERVE_TOKEN = "AGENTCTL_TOKEN"  # the variable with the token of serve's HTTP interface: no action hands it on to what it starts


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt for an action to perform. `params` are complete: secrets are put in.

    `timeout`: seconds, None when the step has none; the engine enforces it by cancelling the coroutine, upon which an action must
    stop all it started (TERM, 10 s later KILL) before it lets the CancelledError pass.
    `previous`: the error of the attempt before, so that `llm` can show the model what was wrong.
    """

    run_id: str
    name: str  # of the definition
    path: str
    attempt: int
    idempotency_key: str
    params: JSON
    previous: Error | None = None
    timeout: float | None = None


class LargeOutput:
    """An output that is to be kept as a file beside the store: it is as large as it likes, or no JSON.

    file: holds it, or its beginning; None when all of it is in `rest`.
    rest: what the disk has not taken yet.
    kind: what it is to the language: text (without a newline at its end), json (the text of a value) or bytes.
    """

    def __init__(self, file: IO[bytes] | None, rest: bytes, kind: LargeKind) -> None:
        self.file = file
        self.rest = rest
        self.kind = kind

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


class Outcome(msgspec.Struct, frozen=True):
    output: JSON | LargeOutput
    usage: Usage | None = None


class SecretSource(Protocol):
    def names(self) -> Iterable[str]:
        """The secrets that are set now."""

    def read(self, name: str) -> str:
        """The value; `scrub` knows it from then on. Raises KeyError when there is no secret of that name."""

    def expect(self, names: Iterable[str]) -> Iterable[str]:
        """`scrub` knows the values of these from now on, whoever reads them. Returns the names that are not set."""


class Surroundings(Protocol):
    """What an action may use of the world around it."""

    root: Path  # the project's root
    store: Path  # the store's folder: a place for large outputs

    @property
    def secrets(self) -> SecretSource:
        """Where the engine finds what `${{ secrets.X }}` refers to."""

    def log(self, call: Call, stream: str, text: str) -> None:
        """Add to the run's log, already scrubbed of secrets by the implementation. stream: stdout, stderr, note."""

    def scrub(self, value: JSON) -> JSON:
        """The same value with every secret's text replaced by `***`."""

    def scrubber(self) -> Scrubber:
        """The same for a stream of bytes, whose chunks may end in the middle of a secret."""

    @property
    def executor_lock(self) -> int | None:
        """The descriptor of the lock that says that this process lives; None when it drives no runs."""

    def end_left_behind(self, run_id: str, paths: Collection[str]) -> None:
        """End what still lives of the attempts of these steps, whose driver died. Blocks; called in a thread."""

    def keep(self, output: LargeOutput) -> dict[str, JSON]:
        """Keep a large output as a file beside the store: a reference (`expressions.large`). Blocks; called in a thread.

        Raises StoreError when the store cannot take it now; it can be called again then.
        """

    def open(self, reference: dict[str, JSON]) -> IO[bytes]:
        """The file that a reference names. Raises OSError when it is gone."""


class Scrubber(Protocol):
    def feed(self, chunk: bytes) -> bytes:
        """What can be let go so far, secrets replaced by `***`; the rest, if it may begin a secret, is held back."""

    def finish(self) -> bytes:
        """What was held back. Call it once, at the end."""


class Action(Protocol):
    """What a step does to the world. Raises ActionError for a failed attempt; any other exception is a bug, shown as one."""

    async def perform(self, call: Call, around: Surroundings) -> Outcome: ...


class SlowAction(Action, Protocol):
    """An action that takes long to get ready, and can do so in the background."""

    def expect(self) -> None:
        """Get ready in the background: a run that has steps of this kind is being driven. Repeated calls do nothing more."""

    async def ready(self, call: Call) -> None:
        """Return when the attempt can begin: its timeout counts from then. Raises ActionError when it never can."""


class InstantAction(Action, Protocol):
    def now(self, call: Call) -> Outcome:
        """The same as `perform`, at once, so that the engine can answer in the turn that started the attempt."""


# `{description, parameters}` of a skill as a run sees it: (run id, name). Raises NotFound, DefinitionInvalid.
DescribeSkill = Callable[[str, str], dict[str, JSON]]


class ActionContext(msgspec.Struct, frozen=True, kw_only=True):
    """What an action may be made from: what `ActionSpec.implementation` is called with.

    models: `models:` of the project's file.
    read_key: the value of an API key by the name of its variable, None when there is none.
    store: the project's store, None outside of a project.
    describe_skill: see `DescribeSkill`; None where no run can call one.
    skill_names: the names of the project's skills, as of now.
    policy: `policy:` of the project's file.
    """

    models: Mapping[str, Any] = {}
    read_key: Callable[[str], str | None]
    store: Store | None = None
    policy: Mapping[str, Any] = {}
    describe_skill: DescribeSkill | None = None
    skill_names: Callable[[], list[str]] = list


class Clock(Protocol):
    def now(self) -> float:
        """Epoch seconds, the wall's."""

    async def sleep_until(self, due: float) -> None: ...


class Observer(Protocol):
    """Is called with every commit of a run that this engine drives, after it is durable. Must return at once.

    Is called without events, and with status `queued`, for a run that has to wait in the queue (see `DueRuns.queue_position`)."""

    def __call__(self, run_id: str, events: Sequence[AnyEvent], progress: Progress) -> None: ...
