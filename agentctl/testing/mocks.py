"""What a step of a test comes to: its mock, what a pure action makes of its parameters, or, where allowed, the real thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.json_schema import is_object
from agentctl.core.kinds.agent import ANSWER, answer_schema
from agentctl.core.scope import scope_of
from agentctl.core.state import RunState, StepState
from agentctl.core.transcript import compact
from agentctl.errors import ActionError, ExpressionError
from agentctl.expressions.duration import format_duration
from agentctl.expressions.parse import parse_value
from agentctl.expressions.references import needed_secrets
from agentctl.language.cases import Case, Mock, Outcome
from agentctl.language.step_paths import closeness
from agentctl.paths import matcher, without_rounds
from agentctl.ports import Call, InstantAction, StoredDefinition
from agentctl.spec import action as spec_of

_NOT_STARTED = ("skill.not_found", "skill.too_deep", "input.invalid")


class Broken(Exception):
    """The case cannot continue; `str(error)` says why, in a sentence for its author."""


class Answer(msgspec.Struct, frozen=True):
    """How an attempt ends. `takes`: seconds.  `is_refusal`: the child run that the step wanted never began."""

    output: JSON = None
    error: ev.Error | None = None
    usage: ev.Usage | None = None
    takes: float = 0.0
    retry_after: float | None = None
    is_refusal: bool = False


Real = Callable[[cmd.Execute, RunState], Answer]


class Mocks:
    """`real`: performs an attempt in earnest, for the actions that the case allows."""

    def __init__(self, case: Case, real: Real) -> None:
        self._case = case
        self._real = real
        self._chosen: dict[str, Mock | None] = {}
        self._secrets: dict[str, frozenset[str]] = {}

    def answer(self, path: str, number: int, command: cmd.Execute, state: RunState) -> Answer:
        """The end of an attempt, of which `number` (from 1) says which outcome of a list it is. Raises Broken."""
        mock = self._find(path, _tool_path(path, command.path, state))
        if mock is not None:
            return _in_time(_answer(mock, number, command, state), command.timeout)
        if command.uses == "tools" or (command.uses == "turn" and "llm" in self._case.allow):
            return self._real(command, state)
        if command.uses == "turn":
            raise Broken(
                f"turn '{path}' has no mock, so a model would be asked; say under `mocks` what it comes to: "
                f"`{path}: {{calls: [{{tool: NAME, arguments: {{}}}}]}}` or `{path}: {{answer: ...}}`, or `allow: [llm]`"
            )
        known = spec_of(command.uses)
        if command.uses in self._case.allow:
            return self._real(command, state)
        allow = f", or `allow: [{command.uses}]` to really run it" if known is not None and known.can_be_allowed else ""
        raise Broken(
            f"step '{path}' ({command.uses}) has no mock, so it would really run; "
            f"say under `mocks` what it comes to: `{path}: {{output: ...}}`{allow}"
        )

    def instant(self, path: str, command: cmd.Execute, state: RunState) -> Answer | None:
        """The end of an attempt of an action that needs no time; None when it is another action, or mocked."""
        known = spec_of(command.uses)
        if known is None or not known.is_pure or self._find(path, _tool_path(path, command.path, state)) is not None:
            return None
        return _pure(command, state)

    def child(self, path: str, attempt: int, tool: str | None = None) -> Answer | None:
        """The end of a mocked child run, or of a run that is waited for; None when it is no mocked one."""
        mock = self._find(path, tool)
        if mock is None:
            return None
        answer = _answer(mock, attempt)
        refused = answer.error is not None and answer.error.type in _NOT_STARTED
        return msgspec.structs.replace(answer, is_refusal=refused)

    def secret_names(self, stored: StoredDefinition) -> frozenset[str]:
        """Those that the case gives; when it says nothing of secrets, all that the definition cannot do without."""
        if self._case.secrets is not None:
            return frozenset(self._case.secrets)
        if stored.version not in self._secrets:
            self._secrets[stored.version] = needed_secrets(stored.definition)
        return self._secrets[stored.version]

    def _find(self, path: str, tool: str | None) -> Mock | None:
        """Of several that fit, the most exact; of those, the last."""
        if path not in self._chosen:
            fitting = [mock for mock in reversed(self._case.mocks) if mock.path == tool or matcher(mock.path)(path)]

            def rank(mock: Mock) -> tuple[bool, bool, tuple[int, int]]:
                return mock.path == path, mock.path == tool, closeness(mock.path)

            self._chosen[path] = max(fitting, key=rank, default=None)
        return self._chosen[path]


def tool_path(prefix: str, step: StepState) -> str | None:
    """How the call of a tool can be mocked as well: `AGENT.tool.NAME`. None for any other step."""
    return None if step.call is None else f"{prefix}{without_rounds(step.call.owner.path)}.tool.{step.call.name}"


def _tool_path(path: str, own: str, state: RunState) -> str | None:
    """`path`: with what stands before the paths of the run; `own`: without."""
    return tool_path(path.removesuffix(own), state.steps[own])


def call_of(command: cmd.Execute, state: RunState, params: JSON) -> Call:
    """What an action is given for an attempt. `params`: with the values of secrets in their places."""
    return Call(
        run_id=state.run_id,
        name=state.name,
        path=command.path,
        attempt=command.attempt,
        idempotency_key=command.idempotency_key,
        params=params,
        previous=command.previous,
    )


def _pure(command: cmd.Execute, state: RunState) -> Answer:
    from agentctl.actions.registry import action

    try:
        return Answer(output=cast(InstantAction, action(command.uses)).now(call_of(command, state, command.params)).output)
    except ActionError as error:
        return Answer(error=ev.Error(error.type, error.message, data=error.data))


def _answer(mock: Mock, number: int, command: cmd.Execute | None = None, state: RunState | None = None) -> Answer:
    outcome: Outcome = mock.outcomes[min(number, len(mock.outcomes)) - 1]
    error = None
    if outcome.turn is not None and command is not None and state is not None:
        return _turn(outcome, command, state)
    if outcome.error is not None:
        kind = outcome.error["type"]
        error = ev.Error(kind, outcome.error.get("message", f"mocked {kind}"), data=outcome.error.get("data"))
    usage = msgspec.convert(outcome.usage, ev.Usage) if outcome.usage is not None else None
    return Answer(outcome.output, error, usage, outcome.takes, outcome.retry_after)


def _turn(outcome: Outcome, command: cmd.Execute, state: RunState) -> Answer:
    """What a turn of an agent comes to. Arguments and the answer may hold expressions."""
    assert outcome.turn is not None
    owner = state.steps[command.path].frame.owner
    if owner is None or owner.agent is None:
        raise Broken(f"'{command.path}' is no turn of an agent, so it has no calls and no answer: mock it by `output`")
    turn, usage = outcome.turn, msgspec.convert(outcome.usage, ev.Usage) if outcome.usage is not None else None
    number = command.params["turn"]
    try:
        filled = parse_value(turn).evaluate({**scope_of(state, owner.frame), "turns": _turns(owner)})
    except ExpressionError as error:
        raise Broken(f"the mock of '{command.path}' cannot be evaluated: {error.message}") from None
    calls = [{"tool": call["tool"], "arguments": call.get("arguments", {})} for call in filled.get("calls", [])]
    text, schema = filled.get("text"), answer_schema(owner)
    if "answer" in filled and schema is not None:
        arguments = filled["answer"] if is_object(schema) else {"value": filled["answer"]}
        calls.append({"tool": ANSWER, "arguments": arguments})
    elif "answer" in filled:
        text = filled["answer"] if isinstance(filled["answer"], str) else compact(filled["answer"])
    made = [{"id": f"call_{number}_{k}", **call} for k, call in enumerate(calls)]
    output = {"text": text, "calls": made, "finish": "tool_calls" if made else "stop"}
    return Answer(output=output, usage=usage, takes=outcome.takes)


def _turns(owner: StepState) -> list[JSON]:
    """What a mock may refer to: the turns so far, each with the `output` of its calls, such as the id of a detached run."""
    turns = owner.agent.turns if owner.agent is not None else []
    return [{"calls": [{"tool": call.call.name, "output": call.output} for call in turn.calls.values()]} for turn in turns]


def _in_time(answer: Answer, timeout: float | None) -> Answer:
    """The engine stops an attempt that takes too long, whatever it would have come to."""
    if timeout is None or answer.takes <= timeout:
        return answer
    message = f"the attempt took longer than {format_duration(timeout)}"
    return Answer(error=ev.Error("timeout", message), takes=timeout)
