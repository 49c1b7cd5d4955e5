"""`agent`: a model in a loop with tools, until it answers.

Each turn is a list of one step, `find.turn[0]`; the calls that it asks for are another, `find.turn[0].call[k]`, built from the
turn's output and the tools, so that a call is a step like any other. What the next turn reads beside what the calls came to (an
answer that did not fit, that nothing has changed) stands in the event that begins it, so the fold decides nothing.

The file is long because one kind is one file: its start, its turns and its end.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core import permissions, tool_calls, transcript
from agentctl.core.budget import ANSWER_TOKENS, CHARACTERS_A_TOKEN, refusal
from agentctl.core.conversation import Conversation, TurnState
from agentctl.core.frames import close_frame, open_frame, round_key
from agentctl.core.graph import Block
from agentctl.core.json_schema import is_object, problems_of, schema_problem
from agentctl.core.kinds.kind import Kind, end_attempt, fail_start, start_attempt
from agentctl.core.lifecycle import WELL
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.transition import Transition
from agentctl.expressions.json_text import read_json
from agentctl.expressions.template import Template
from agentctl.expressions.values import extract_secrets
from agentctl.model import Agent, Step, Task, Tool, Turn

ANSWER = "answer"
INVALID = 3  # answers in a row that do not fit
WORTHWHILE = 8  # lines for observations have to save one part in so many of a conversation that was refused as too long
_LAST = "This is your last turn and no tool can be called any more. Answer now with what you know."
_REPEATING = "Nothing has changed: your last turns made the same calls and got the same results. Do something else, or answer."
_NOT_TAKEN = "not taken: another call of this turn failed"
_CUT = "error llm.cut: the turn was cut at the limit of tokens, so none of its calls was made"
_NO_TOOLS = "error tool.unknown: no tool could be called in this turn"


class AgentKind(Kind):
    def begin(self, run: Transition, step: StepState) -> None:
        params, error = run.evaluate(agent_of(step).params, step)
        secrets: list[JSON] = []
        if error is None:
            params, secrets = extract_secrets(params)
            error = permissions.refusal(run.state, "turn", params, secrets) or _schema_error(params)
        if error is not None:
            fail_start(run, step, structs.replace(error, data=_reached([])))
            return
        start_attempt(run, step, input=params, secrets=secrets)

    def look(self, run: Transition, step: StepState) -> None:
        if not step.frames:
            _proceed(run, step)

    def close(self, run: Transition, frame: Frame, output: JSON, error: ev.Error | None) -> None:
        assert frame.owner is not None
        if error is not None and frame.role == "turn" and _is_too_long(frame.owner, error):
            _ask_again_shortened(run, frame.owner)
        elif frame.role == "compact":
            _after_summary(run, frame.owner, output, error)
        elif error is not None:
            _fail(run, frame.owner, error)
        else:
            _proceed(run, frame.owner)

    def timeout_data(self, step: StepState) -> JSON:
        return _reached(conversation(step).turns)

    # --- fold ------------------------------------------------------------------------------------------------------

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        step.agent = Conversation(round_key(state, step.path))
        state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
        tool_calls.begin_round(state, step)
        state.look_at(step)

    def block_started(self, state: RunState, step: StepState, event: ev.BlockStarted) -> None:
        for frame in list(step.frames.values()):
            frame.ended_well = True
            close_frame(state, frame)
        opener = {"tools": _open_tools, "turn": _open_turn, "calls": _open_calls, "compact": _open_summary}[event.role]
        opener(state, step, event)


def _schema_error(params: dict[str, Any]) -> ev.Error | None:
    problem = schema_problem(params["schema"]) if params.get("schema") is not None else None
    return ev.Error("input.invalid", f"`schema` is no JSON Schema: {problem}") if problem is not None else None


def agent_of(step: StepState) -> Agent:
    action = step.node.step.action
    assert isinstance(action, Agent)
    return action


def answer_schema(step: StepState) -> JSON:
    """The JSON Schema of the answer; None: it is a text."""
    return step.input.get("schema")


def conversation(step: StepState) -> Conversation:
    assert step.agent is not None
    return step.agent


# --- what follows ------------------------------------------------------------------------------------------------------


def _proceed(run: Transition, step: StepState) -> None:
    """Nothing of the agent is under way: look up its tools, begin a turn or the calls of one, or end it."""
    agent, talk = agent_of(step), conversation(step)
    if talk.lookup is None and any(map(_is_looked_up, agent.tools)):
        run.emit(ev.BlockStarted(at=run.at, path=f"{talk.key}.tools", role="tools", owner=step.path))
    elif not talk.turns:
        _begin_turn(run, step, {})
    elif _has_calls_to_make(step, talk.turns[-1]):
        run.emit(ev.BlockStarted(at=run.at, path=f"{talk.turns[-1].step.path}.call", role="calls", owner=step.path))
    else:
        _conclude(run, step, talk.turns[-1])


def _has_calls_to_make(step: StepState, turn: TurnState) -> bool:
    output = turn.step.output
    return not turn.last and turn.calls_frame is None and output["finish"] != "length" and bool(_calls_of(step, output))


def _calls_of(step: StepState, output: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The calls that are steps, by their place: all but those of the tool by which the agent answers."""
    answers = answer_schema(step) is not None
    return {k: call for k, call in enumerate(output["calls"]) if not (answers and call["tool"] == ANSWER)}


def _conclude(run: Transition, step: StepState, turn: TurnState) -> None:
    """A turn and its calls are over: take the answer, or begin the next turn with what there is to say of this one."""
    schema, output = answer_schema(step), turn.step.output
    asked: dict[str, JSON] = {}
    if output["calls"] and output["finish"] == "length":
        asked["observations"] = {str(k): _CUT for k in range(len(output["calls"]))}
    elif any(call["tool"] == ANSWER for call in output["calls"]) and schema is not None:
        found, asked["observations"], invalid = _answer_called(schema, turn)
        if found is not None:
            end_attempt(run, step, found[0], None)
            return
        if invalid:
            asked["invalid"] = True
    elif not output["calls"]:
        value, problems = _answer_said(schema, output["text"])
        if not problems:
            end_attempt(run, step, value, None)
            return
        asked |= {"message": _correction(problems), "invalid": True}
    if turn.last:  # it had no tools
        asked["observations"] = {str(k): _NO_TOOLS for k in range(len(output["calls"]))} | (asked.get("observations") or {})
    _next_turn(run, step, turn, asked)


def _answer_called(schema: JSON, turn: TurnState) -> tuple[tuple[JSON] | None, dict[str, JSON], bool]:
    """The first answer that fits; else the observation of each call of `answer`, and whether one of them did not fit."""
    failed = any(call.status not in WELL for call in turn.calls.values())
    observations: dict[str, JSON] = {}
    invalid = False
    for k, call in enumerate(turn.step.output["calls"]):
        if call["tool"] != ANSWER:
            continue
        value, problems = _unwrapped(schema, call["arguments"])
        if problems:
            observations[str(k)], invalid = _correction(problems), True
        elif failed:
            observations[str(k)] = _NOT_TAKEN
        else:
            return (value,), {}, False
    return None, observations, invalid


def _unwrapped(schema: JSON, arguments: JSON) -> tuple[JSON, list[str]]:
    if not isinstance(arguments, dict):
        return None, ["the arguments are no JSON object"]
    if is_object(schema):
        return arguments, problems_of(arguments, schema)
    if "value" not in arguments:
        return None, ["`value` is missing"]
    return arguments["value"], problems_of(arguments["value"], schema)


def _answer_said(schema: JSON, text: str | None) -> tuple[JSON, list[str]]:
    """What a text without calls answers. With a schema it has to be JSON, alone or in a code fence."""
    said = transcript.without_thoughts(text)
    if schema is None:
        return said, []
    try:
        value = read_json(_unfenced(said).encode("utf-8", "replace"))
    except ValueError:
        return None, ["the text is no JSON"]
    return value, problems_of(value, schema)


def _unfenced(text: str) -> str:
    if not text.startswith("```") or not text.endswith("```"):
        return text
    return text[3:-3].partition("\n")[2] or text


def _correction(problems: list[str]) -> str:
    listed = "\n".join(f"- {problem}" for problem in problems)
    return f"This answer does not fit:\n{listed}\nCall `answer` with what is asked for."


def _next_turn(run: Transition, step: StepState, turn: TurnState, asked: dict[str, JSON]) -> None:
    """Begin the next turn, unless a bound says that there is none."""
    agent, talk = agent_of(step), conversation(step)
    if asked.get("invalid") and talk.invalid + 1 >= INVALID:
        _fail(run, step, ev.Error("llm.invalid_output", f"the answer did not fit {INVALID} times in a row"))
        return
    if (turn.last and len(talk.turns) > talk.granted) or len(talk.turns) >= talk.granted + agent.max_turns:
        _fail(run, step, ev.Error("agent.max_turns", f"no answer in {agent.max_turns} turns"))
        return
    said = [*talk.said, _as_said(step, turn, asked)][talk.counted_from :]
    row, cycles = transcript.repeated(said)
    if row >= agent.stall or cycles >= agent.stall:
        what = "the last turns were the same" if row >= agent.stall else "the last turns went in a circle of two"
        _fail(run, step, ev.Error("agent.stalled", f"{what}: nothing has changed in {max(row, 2 * cycles)} turns"))
        return
    if agent.stall - 1 in (row, cycles) and (row > 1 or cycles > 1):
        asked["message"] = "\n".join(filter(None, [asked.get("message"), _REPEATING]))
    _compacted_turn(run, step, turn, asked)


# --- compaction --------------------------------------------------------------------------------------------------------


def _compacted_turn(run: Transition, step: StepState, turn: TurnState, asked: dict[str, JSON]) -> None:
    """Begin the next turn; where the last one read much of the model's context, with the conversation shortened.

    Older observations become one line each. If more than half of the context would still be used, the model is asked for a
    summary first; what the next turn reads waits in that step's event.
    """
    agent, talk = agent_of(step), conversation(step)
    context = turn.step.output.get("context")
    older = max(0, len(talk.turns) - agent.compact_keep)
    if context is None or older <= talk.shortened:
        _begin_turn(run, step, asked)
        return
    lines = transcript.saved([*talk.said, _as_said(step, turn, asked)][talk.shortened : older])
    left = context["read"] - lines // CHARACTERS_A_TOKEN
    asked["shortened"] = older
    if left > context["tokens"] / 2 and older > talk.summarized:
        path = f"{talk.key}.compact[{talk.summaries}]"
        run.emit(ev.BlockStarted(at=run.at, path=path, role="compact", owner=step.path, input=asked))
    else:
        _begin_turn(run, step, asked)


def _after_summary(run: Transition, step: StepState, output: JSON, error: ev.Error | None) -> None:
    """Without a summary the agent fails, and a resume asks for it again."""
    if error is not None:
        _fail(run, step, error)
        return
    talk = conversation(step)
    assert talk.pending is not None
    asked = {**talk.pending, "summary": transcript.without_thoughts(output["text"])}
    if asked.get("again"):
        run.emit(ev.BlockStarted(at=run.at, path=talk.turns[-1].step.path, role="turn", owner=step.path, input=asked))
    else:
        _begin_turn(run, step, asked)


def _is_too_long(step: StepState, error: ev.Error) -> bool:
    """Whether the conversation did not fit the model, and has not been shortened for this turn."""
    agent, talk = agent_of(step), conversation(step)
    older = max(0, len(talk.said) - agent.compact_keep)
    return error.type == "llm.context" and not talk.turns[-1].again and older > talk.shortened


def _ask_again_shortened(run: Transition, step: StepState) -> None:
    """Ask for the turn that did not fit again; after a summary, where it is not the observations that make it long."""
    agent, talk = agent_of(step), conversation(step)
    older = max(0, len(talk.said) - agent.compact_keep)
    asked: dict[str, JSON] = {"again": True, "shortened": older}
    path, role = talk.turns[-1].step.path, "turn"
    length = len(transcript.compact(transcript.messages(talk.said[talk.summarized :], "")))
    if transcript.saved(talk.said[talk.shortened : older]) < length / WORTHWHILE and older > talk.summarized:
        path, role = f"{talk.key}.compact[{talk.summaries}]", "compact"
    run.emit(ev.BlockStarted(at=run.at, path=path, role=role, owner=step.path, input=asked))


def _begin_turn(run: Transition, step: StepState, asked: dict[str, JSON]) -> None:
    agent, talk = agent_of(step), conversation(step)
    number = len(talk.turns)
    is_last = number + 1 >= talk.granted + agent.max_turns or _next_would_not_fit(run, step)
    if agent.on_limit == "answer" and is_last:
        asked |= {"last": True, "message": "\n".join(filter(None, [asked.get("message"), _last_words(answer_schema(step))]))}
    path = f"{talk.key}.turn[{number}]"
    kept = {name: value for name, value in asked.items() if value}
    run.emit(ev.BlockStarted(at=run.at, path=path, role="turn", owner=step.path, input=kept or None))


def _next_would_not_fit(run: Transition, step: StepState) -> bool:
    """Whether the budget has room for this turn at most, and none for one more like it."""
    talk = conversation(step)
    usage = talk.turns[-1].step.usage if talk.turns else None
    if usage is None:
        return False
    params = {"model": talk.turns[-1].step.last["model"], "max_tokens": step.input.get("max_tokens")}
    one = usage.input_tokens + usage.output_tokens + (params["max_tokens"] or ANSWER_TOKENS)
    return refusal(run.state, step.path, {**params, "estimate": 2 * one}) is not None


def _last_words(schema: JSON) -> str:
    if schema is None:
        return _LAST
    return f"{_LAST} The answer is one JSON value, valid against this JSON Schema:\n{transcript.canonical(schema)}"


def _fail(run: Transition, step: StepState, error: ev.Error) -> None:
    """The agent has failed: its error says how far it came."""
    end_attempt(run, step, None, structs.replace(error, data=_reached(conversation(step).turns)))


def _reached(begun: list[TurnState]) -> JSON:
    turns = [turn for turn in begun if turn.step.status in WELL]
    last = turns[-1].step.output["text"] if turns else None
    return {"turns": len(turns), "calls": sum(len(turn.calls) for turn in turns), "last": last}


# --- fold --------------------------------------------------------------------------------------------------------------


def _open_tools(state: RunState, step: StepState, event: ev.BlockStarted) -> None:
    agent = agent_of(step)
    tools = [tool for tool in agent.tools if _is_looked_up(tool)]
    wanted = [{"name": tool.name, "kind": tool.kind, **_described_by(tool)} for tool in tools]
    look = Step("tools", Task("tools", Template(["lit", {"tools": wanted}])), "tools")
    prefix = f"{conversation(step).key}."
    frame = Frame(event.path, Block((look,)), "tools", owner=step, outer=step.frame, prefix=prefix)
    conversation(step).lookup = frame.steps[0]
    open_frame(state, frame)


def _is_looked_up(tool: Tool) -> bool:
    return tool.parameters is None or tool.library is not None


def _described_by(tool: Tool) -> dict[str, JSON]:
    """What the driver looks a tool up by."""
    action = tool.step.action
    if tool.library is not None:
        return {"skills": tool.library}
    if isinstance(action, Task):
        return {"function": action.params.tree[1]["function"][1]}
    return {"skill": getattr(action, "name", None)}


def _open_turn(state: RunState, step: StepState, event: ev.BlockStarted) -> None:
    talk = conversation(step)
    asked = event.input or {}
    talk.pending = None
    talk.shortened = asked.get("shortened", talk.shortened)
    if "summary" in asked:
        talk.summary, talk.summarized = asked["summary"], talk.shortened
    if asked.get("again"):
        _replace_turn(state, step, event)
        return
    number = len(talk.turns)
    if talk.described is None and talk.lookup is not None:
        talk.described = talk.lookup.output
    if talk.turns:
        before = talk.turns[-1]
        talk.said.append(_as_said(step, before, asked))
        talk.model = before.step.last["model"]
    else:
        talk.preface = asked.get("message")
    talk.invalid = talk.invalid + 1 if asked.get("invalid") else 0
    frame = _turn_frame(step, event.path, number)
    talk.turns.append(TurnState(frame, frame.steps[0], last=bool(asked.get("last"))))
    open_frame(state, frame)


def _turn_frame(step: StepState, key: str, number: int) -> Frame:
    agent, talk = agent_of(step), conversation(step)
    body = Step(f"turn[{number}]", Turn(), "turn", retry=agent.retry, timeout=agent.turn_timeout)
    return Frame(key, Block((body,)), "turn", owner=step, outer=step.frame, prefix=f"{talk.key}.")


def _replace_turn(state: RunState, step: StepState, event: ev.BlockStarted) -> None:
    """The last turn did not fit the model's context: it is asked again, shortened."""
    talk = conversation(step)
    failed = talk.turns.pop()
    step.bodies = [body for body in step.bodies if body is not failed.frame]
    frame = _turn_frame(step, event.path, len(talk.turns))
    talk.turns.append(TurnState(frame, frame.steps[0], last=failed.last, again=True))
    open_frame(state, frame)


def _open_summary(state: RunState, step: StepState, event: ev.BlockStarted) -> None:
    agent, talk = agent_of(step), conversation(step)
    talk.pending = event.input
    if talk.pending is not None and talk.pending.get("again"):
        step.bodies = [other for other in step.bodies if other is not talk.turns[-1].frame]
    body = Step(f"compact[{talk.summaries}]", Turn(), "compact", retry=agent.retry, timeout=agent.turn_timeout)
    talk.summaries += 1
    open_frame(state, Frame(event.path, Block((body,)), "compact", owner=step, outer=step.frame, prefix=f"{talk.key}."))


def _open_calls(state: RunState, step: StepState, event: ev.BlockStarted) -> None:
    turn = conversation(step).turns[-1]
    calls = _calls_of(step, turn.step.output)
    frame = tool_calls.frame_of(event.path, step, turn, calls)
    turn.calls_frame, turn.calls = frame, dict(zip(calls, frame.steps, strict=True))
    open_frame(state, frame)


def as_read(step: StepState, turn: TurnState) -> transcript.Turn:
    """A turn that answered, for people: what its calls have come to so far."""
    output = turn.step.output
    ended = {k for k, call in turn.calls.items() if call.finished_at is not None}
    heard = [
        transcript.Heard(call["id"], tool_calls.observation(turn.calls[k], agent_of(step)))
        for k, call in enumerate(output["calls"])
        if k in ended
    ]
    return transcript.Turn(turn.step.last["model"], output, heard)


def _as_said(step: StepState, turn: TurnState, asked: dict[str, Any]) -> transcript.Turn:
    """A turn that is over as the model reads it. `asked`: what the next turn's event says of it."""
    output, replaced = turn.step.output, asked.get("observations") or {}
    heard = [
        transcript.Heard(call["id"], replaced.get(str(k)) or tool_calls.observation(turn.calls[k], agent_of(step)))
        for k, call in enumerate(output["calls"])
    ]
    return transcript.Turn(turn.step.last["model"], output, heard, asked.get("message"))
