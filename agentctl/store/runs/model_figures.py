"""What models and tools did in runs, from their journals: turns and calls, by model and by tool."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from agentctl.core.events import Error, Usage, add_usage
from agentctl.ports import ModelFigures, ToolFigures

_PLACE = re.compile(r"(?P<turn>.+\.turn\[\d+\])(?:\.call\[(?P<call>\d+)\])?")
_REFUSED = ("permission.denied", "tool.unknown", "tool.invalid_arguments", "tool.max_calls", "approval.rejected")


class _Called(msgspec.Struct, frozen=True):
    tool: str


class _Output(msgspec.Struct, frozen=True):
    """Of a turn."""

    calls: list[_Called] = []


class ModelEvent(msgspec.Struct, frozen=True):
    """What matters here of an event; the rest of its text is skipped."""

    type: str
    at: float = 0.0
    path: str | None = None
    usage: Usage | None = None
    error: Error | None = None
    output: msgspec.Raw = msgspec.Raw(b"null")


_output = msgspec.json.Decoder(_Output)


class Models:
    """Takes the events of one run after the other. `figures`: of all that it has taken."""

    def __init__(self) -> None:
        self._turns = self._calls = self._refused = 0
        self._by_model: dict[str, Usage] = {}
        self._tools: dict[str, _Tool] = {}

    def take(self, events: Iterable[ModelEvent]) -> None:
        asked: dict[str, list[_Called]] = {}
        begun: dict[str, float] = {}
        for event in events:
            if event.usage is not None and event.type in ("StepSucceeded", "AttemptFailed"):
                model = event.usage.model or "unknown"
                self._by_model[model] = add_usage(self._by_model.get(model), event.usage)
            place = _PLACE.fullmatch(event.path or "")
            if place is None:
                continue
            if place["call"] is not None:
                self._call(event, place["turn"], int(place["call"]), asked, begun)
            elif event.type == "StepSucceeded":
                self._turns += 1
                asked[place["turn"]] = _output.decode(event.output).calls

    def _call(
        self, event: ModelEvent, turn: str, number: int, asked: dict[str, list[_Called]], begun: dict[str, float]
    ) -> None:
        path = event.path or ""
        if event.type == "StepStarted":
            begun.setdefault(path, event.at)
        if event.type not in ("StepSucceeded", "StepFailed") or number >= len(asked.get(turn, ())):
            return
        self._calls += 1
        self._refused += event.error is not None and event.error.type in _REFUSED
        tool = self._tools.setdefault(asked[turn][number].tool, _Tool())
        tool.calls += 1
        tool.failed += event.type == "StepFailed"
        tool.durations.append(event.at - begun.pop(path, event.at))

    def figures(self) -> ModelFigures:
        tools = {name: tool.figures() for name, tool in sorted(self._tools.items())}
        models = dict(sorted(self._by_model.items()))
        return ModelFigures(turns=self._turns, calls=self._calls, refused=self._refused, by_model=models, by_tool=tools)


class _Tool:
    def __init__(self) -> None:
        self.calls = self.failed = 0
        self.durations: list[float] = []

    def figures(self) -> ToolFigures:
        ordered = sorted(self.durations)
        rank = max(0, int(-(-len(ordered) * 0.95 // 1)) - 1)
        return ToolFigures(calls=self.calls, failed=self.failed, p95=ordered[rank])
