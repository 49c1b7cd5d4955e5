"""A recorded run as a test file: mocks from its journal, expectations from its outcome.

What steps did to the world becomes a mock; what came from outside (events, answers, a cancel) comes again at its time. Of a run
that was resumed, the last try of each step counts, so that the case goes through as the run did in the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.lifecycle import ENDED
from agentctl.core.state import RunState, StepState
from agentctl.core.timestamps import rfc3339
from agentctl.errors import ExpressionError
from agentctl.expressions import large
from agentctl.expressions.references import needed_secrets
from agentctl.model import Skill, Task, Turn, Wait
from agentctl.paths import for_any_number
from agentctl.spec import action as spec_of
from agentctl.testing.durations import exact_duration

LARGE = 16 * 1024  # characters of JSON from which an output is cut
_TEXT, _ITEMS = 1000, 20  # what is left of its texts and lists
MOST_STEPS = 100  # that are expected one by one


def recorded(state: RunState, journal: Iterable[ev.AnyEvent], test: str, case: str) -> tuple[dict[str, JSON], list[str]]:
    """The document of a test file, and the paths whose output was cut. `test`, `case`: what its keys of that name hold."""
    tape = _Tape(state)
    for event in journal:
        tape.take(event)
    mocks, cut = tape.mocks()
    for received in tape.events:
        if len(json.dumps(received.get("data"))) > LARGE:
            received["data"] = _bounded(received["data"])
            cut.append(f"event {received['event']}")
    played: dict[str, JSON] = {"case": case}
    optional = {
        "input": state.input,
        "event": _event(state.event, None) if state.event else None,
        "vars": state.vars,
        "state": tape.memory,
        "start": rfc3339(tape.begun),
        "mocks": mocks,
        "events": tape.events,
        "approvals": tape.approvals,
        "resolve": tape.resolutions,
        "cancel": tape.cancel,
    }
    played |= {key: value for key, value in optional.items() if value}
    if tape.secrets != needed_secrets(state.plan.definition):  # else the case need not say which there are
        played["secrets"] = dict.fromkeys(sorted(tape.secrets), "***")
    played["expect"] = _expectation(state)
    return {"test": test, "cases": [played]}, cut


def written(document: dict[str, JSON], cut: list[str]) -> str:
    """The document as YAML that reads back as the same."""
    from io import StringIO

    from ruamel.yaml import YAML

    from agentctl.language.yaml.reader import read_text

    stream = StringIO()
    writer = YAML()
    writer.width, writer.allow_unicode = 120, True
    writer.dump(_readable(document), stream)
    text = stream.getvalue()
    if read_text(text).data != document:
        text = json.dumps(document, indent=2) + "\n"  # JSON is YAML; texts that YAML writes otherwise are rare
    if cut:
        shown = ", ".join(cut[:20]) + (f" and {len(cut) - 20} more" if len(cut) > 20 else "")
        text = f"# Large outputs were cut: {shown}\n{text}"
    return text


class _Tape:
    """What of a journal a case needs. `begun`: when the run left the queue."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._outcomes: dict[str, dict[int, dict[str, JSON]]] = {}
        self._since: dict[str, tuple[int, float]] = {}  # path -> attempt under way and when it began
        self._resumed = False
        self._asked: dict[str, float] = {}
        self.begun = state.created_at
        self.memory: dict[str, JSON] = {}
        self.events: list[JSON] = []
        self.approvals: list[JSON] = []
        self.resolutions: list[JSON] = []
        self.cancel: JSON = None
        self.secrets: set[str] = set()  # names of those that steps were given

    def take(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.RunStarted():
                self.begun, self.memory = event.at, event.state
            case ev.RunResumed():
                self._resumed, self.cancel = True, None
            case ev.CancelRequested():
                reason = {"reason": event.reason} if event.reason else {}
                self.cancel = {"at": self._offset(event.at), **reason}
            case ev.StepStarted():
                self._start(event)
            case ev.StepSucceeded() if event.attempt or event.status == "reused":
                self._end(event, {"output": event.output}, event.usage)
            case ev.AttemptFailed():
                retry = {"retry_after": exact_duration(event.retry_after)} if event.retry_after else {}
                self._end(event, {"error": _error(event.error), **retry}, event.usage)
            case ev.ChildFinished():
                error = event.error.to_json() if event.error is not None else None
                self._end(event, {"output": event.output} if error is None else {"error": _error(event.error)}, None)
            case ev.EventReceived():
                self.events.append(_event(event.event, self._offset(_received(event))))
            case ev.ApprovalGiven():
                self._approve(event)
            case ev.StepResolved():
                output = {"output": event.output} if event.output is not None else {}
                self.resolutions.append({"step": event.path, "as": event.verdict, **output})

    def mocks(self) -> tuple[dict[str, JSON], list[str]]:
        """Path -> outcome or outcomes; items that all came to the same share one."""
        cut: list[str] = []
        found: dict[str, JSON] = {}
        for path, by_attempt in self._outcomes.items():
            outcomes = [by_attempt[number] for number in sorted(by_attempt)]
            for outcome in outcomes:
                if "output" in outcome:
                    outcome["output"] = _content(outcome["output"])
                if "output" in outcome and len(json.dumps(outcome["output"])) > LARGE:
                    outcome["output"] = _bounded(outcome["output"])
                    cut.append(path)
            found[path] = outcomes[0] if len(outcomes) == 1 else outcomes
        return _joined(found), cut

    def _start(self, event: ev.StepStarted) -> None:
        self.secrets |= {part["secret"] for _, parts in event.secrets for part in parts if isinstance(part, dict)}
        step = self._state.steps.get(event.path)
        if step is not None and step.uses == "approve":
            self._asked[event.path] = event.at
        if step is None or not _is_mocked(step):
            return
        if event.attempt == 1:
            self._outcomes[event.path] = {}
        self._since[event.path] = (event.attempt, event.at)
        # until it ends: it takes longer than anything that was recorded
        self._outcomes.setdefault(event.path, {})[event.attempt] = {"output": None, "takes": "365d"}

    def _end(self, event: ev.AnyEvent, outcome: dict[str, JSON], usage: ev.Usage | None) -> None:
        path = getattr(event, "path", "")
        attempt, since = self._since.get(path, (0, 0.0))
        if getattr(event, "attempt", 0) not in (0, attempt) or path not in self._outcomes:
            return
        if outcome.get("error", {}).get("type") == "cancelled" and isinstance(event, ev.AttemptFailed):
            return  # it was stopped, as it will be again
        seconds = round(event.at - since, 1)
        if seconds >= 1:
            outcome["takes"] = exact_duration(seconds)
        counts = {key: value for key, value in usage.to_json().items() if value and key != "latency_ms"} if usage else {}
        if counts:
            outcome["usage"] = counts
        self._outcomes[path][attempt] = outcome

    def _approve(self, event: ev.ApprovalGiven) -> None:
        answer: dict[str, JSON] = {"step": event.path, "approved": event.approved, "by": event.by}
        answer |= {key: value for key, value in (("comment", event.comment), ("data", event.data)) if value}
        waited = event.at - self._asked.get(event.path, event.at)
        if waited >= 1 and not self._resumed:  # sooner than that, the clock of the case may not be there yet
            answer["at"] = self._offset(event.at)
        self.approvals.append(answer)

    def _offset(self, at: float) -> str:
        return exact_duration(max(0.0, at - self.begun))


def _is_mocked(step: StepState) -> bool:
    action = step.node.step.action
    if isinstance(action, Turn):
        return True
    if isinstance(action, Task):
        known = spec_of(action.uses)
        return known is None or not known.is_pure
    return isinstance(action, Skill) or (isinstance(action, Wait) and action.run is not None)


def _error(error: ev.Error | None) -> dict[str, JSON]:
    if error is None:
        return {"type": "failed"}
    found: dict[str, JSON] = {"type": error.type, "message": error.message}
    return found if error.data is None else {**found, "data": error.data}


def _event(event: dict[str, JSON], at: str | None) -> dict[str, JSON]:
    found = {"event": event["name"], "id": event.get("id"), "data": event.get("data"), "headers": event.get("headers"), "at": at}
    return {key: value for key, value in found.items() if value is not None}


def _received(event: ev.EventReceived) -> float:
    from agentctl.core.timestamps import parse_instant

    return parse_instant(event.event.get("received_at", event.at))


def _joined(mocks: dict[str, JSON]) -> dict[str, JSON]:
    groups: dict[str, list[str]] = {}
    for path in mocks:
        groups.setdefault(for_any_number(path), []).append(path)
    found: dict[str, JSON] = {}
    for pattern, paths in groups.items():
        if "@" not in pattern and all(mocks[path] == mocks[paths[0]] for path in paths):
            found[pattern if len(paths) > 1 else paths[0]] = mocks[paths[0]]
        else:
            found |= {path: mocks[path] for path in paths}
    return found


def _content(output: JSON) -> JSON:
    """An output with what its references to files stand for, as far as that can be read."""
    try:
        return large.loaded(output)
    except ExpressionError:
        return large.shown(output)


def _bounded(value: JSON) -> JSON:
    """The beginning of it."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}... ({len(value):,} characters)"
    if isinstance(value, list):
        return [_bounded(item) for item in value[:_ITEMS]]
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in value.items()}
    return value


def _expectation(state: RunState) -> dict[str, JSON]:
    expected: dict[str, JSON] = {"status": state.status}
    if state.error is not None:
        expected["error"] = {"type": state.error.type}
        if state.error.step:
            expected["error"]["step"] = state.error.step
    elif state.status == "succeeded" and len(json.dumps(_content(state.output))) <= LARGE:
        expected["output"] = state.output
    # `reused`: the case has no other run to reuse a result of
    steps = {
        path: "succeeded" if step.status == "reused" else step.status
        for path, step in state.steps.items()
        if step.status in ENDED and "@" not in path and step.frame.role != "tools"
    }
    if len(steps) > MOST_STEPS:
        steps = {path: status for path, status in steps.items() if "." not in path}
    if steps:
        expected["steps"] = steps
    return expected


def _readable(value: JSON) -> JSON:
    """Texts of several lines as blocks, so that people can read them."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, str) and "\n" in value and not re.search(r"[ \t]\n|^[ \t]|[^\n\t\x20-\x7e\xa0-\ud7ff]|[ \t]\Z", value):
        return LiteralScalarString(value)
    return value
