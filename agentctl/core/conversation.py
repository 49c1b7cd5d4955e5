"""The state of an agent under way: its turns, and the calls of them. Plain records; the fold of `kinds.agent` changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentctl import JSON
from agentctl.core.transcript import Turn
from agentctl.model import Tool

# A `StepState` and a `Frame` of core.state, which in turn holds what is here.
StepState = Any
Frame = Any


@dataclass
class Call:
    """One call of a tool. `hash`: of tool and arguments as asked for.  `owner`: the agent's step.

    tool: None for one that is not listed.
    given: the arguments with their defaults, as templates see them unless a person changes them.
    asked: it needed a person's signature.  signed: it has it.
    edited: {by, values} where that person signed other values than the model gave.
    """

    name: str
    arguments: JSON
    hash: str
    owner: StepState
    tool: Tool | None
    given: dict[str, JSON] = field(default_factory=dict)
    asked: bool = False
    signed: bool = False
    edited: dict[str, JSON] | None = None

    def ask_again(self) -> None:
        """The call is to be made again: a signature was for the one before."""
        self.asked = self.signed = False
        self.edited = None


@dataclass
class OnceCall:
    """A finished call of an `effect: once` tool. `holder`: the step that has its result; None: it is free to be handed over."""

    source: str
    output: JSON
    holder: StepState | None


@dataclass
class TurnState:
    """One turn. `last`: it is asked to answer, and has no tools.  `again`: it is asked with the conversation shortened.

    calls: the calls that are steps, by their place in the model's message.
    """

    frame: Frame
    step: StepState
    last: bool = False
    again: bool = False
    calls_frame: Frame | None = None
    calls: dict[int, StepState] = field(default_factory=dict)


@dataclass
class Conversation:
    """`key`: where its turns begin, `find` or `find@2`.

    model: the alias that answered last; None before the first turn did.
    turns: those that are steps; the last may be under way.
    preface: what the first turn reads beside the goal.
    said: what the model has read up to the last turn: `turns` without that one.
    shortened: of so many turns, the observations are one line each.
    summary, summarized: what stands for so many turns.
    pending: what the next turn reads, while a summary is made.
    summaries: how often the model was asked for one.
    granted: turns that it had when a resume granted it `max_turns` more.
    counted_from: the turn from which repetitions and invalid answers are counted.
    invalid: answers in a row that did not fit.
    lookup: the step that looks its tools up, where they are not all described in the definition.
    described: tool -> {description, parameters}, as looked up when it started.
    """

    key: str
    model: str | None = None
    turns: list[TurnState] = field(default_factory=list)
    preface: str | None = None
    said: list[Turn] = field(default_factory=list)
    shortened: int = 0
    pending: dict[str, JSON] | None = None
    summary: str | None = None
    summarized: int = 0
    summaries: int = 0
    granted: int = 0
    counted_from: int = 0
    invalid: int = 0
    lookup: StepState | None = None
    described: dict[str, JSON] | None = None
