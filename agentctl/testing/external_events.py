"""What comes to staged runs from outside, at the virtual times of the case: events, people's answers, a cancel."""

from __future__ import annotations

from functools import partial

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.expressions.duration import format_duration
from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.cases import Happening
from agentctl.language.event_names import event_matches
from agentctl.language.inputs import has_default, wrong_value
from agentctl.paths import matcher
from agentctl.ports import NewEvent
from agentctl.testing.mocks import Broken
from agentctl.testing.stage import Stage, StagedRun, soon

_BY = "test"  # who answers, when the case does not say


class ExternalEvents:
    """`_kept`: every event so far with its time, as a store would have them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._kept: list[tuple[float, dict[str, JSON]]] = []
        self._waits: dict[tuple[str, str], str] = {}  # (run id, path) -> name of the event
        self._asked: dict[tuple[str, str], cmd.AwaitPerson] = {}
        case, start = stage.case, stage.start
        for number, happening in enumerate(case.events, 1):
            stage.at(start + (happening.at or 0.0), partial(self.receive, happening.written, f"event-{number}"), lasting=True)
        for answer in (*case.approvals, *case.resolve):
            if answer.at is not None:
                stage.at(start + answer.at, partial(self._answer_on_time, answer), lasting=True)
        if case.cancel is not None:
            stage.at(start + (case.cancel.at or 0.0), partial(self._cancel, case.cancel.written.get("reason")), lasting=True)

    def forget(self, run: StagedRun, path: str) -> None:
        self._waits.pop((run.id, path), None)
        self._asked.pop((run.id, path), None)

    def forget_all(self) -> None:
        """The process that knew who waits is gone; taking the runs over finds out again."""
        self._waits.clear()
        self._asked.clear()

    def _cancel(self, reason: str | None) -> None:
        stage = self._stage
        stage.deliver(stage.root, ev.CancelRequested(at=stage.now, reason=reason), again=partial(self._cancel, reason))

    # --- events ----------------------------------------------------------------------------------------------------

    def receive(self, given: dict[str, JSON], id: str) -> None:
        """`given`: {event, data, id}; `id`: the event's when it names none. One whose id was seen before is dropped."""
        stage = self._stage
        event = event_of(given, id, stage.now)
        if any(known["id"] == event["id"] for _, known in self._kept):
            return
        self._kept.append((stage.now, event))
        for (run_id, path), name in self._waits.items():
            if event_matches(name, event["name"]):
                soon(stage, stage.runs[run_id], ev.EventOffered(at=stage.now, path=path, event=event))

    def await_event(self, run: StagedRun, command: cmd.AwaitEvent) -> None:
        self._waits[run.id, command.path] = command.name
        for at, event in self._kept:
            if at >= command.since and event_matches(command.name, event["name"]):
                soon(self._stage, run, ev.EventOffered(at=at, path=command.path, event=event, kept=True))

    # --- people ----------------------------------------------------------------------------------------------------

    def await_person(self, run: StagedRun, command: cmd.AwaitPerson) -> None:
        self._asked[run.id, command.path] = command
        if command.what == "unknown" and self._stage.crashed:
            self._look_it_up(run, command.path)
        else:
            self._answer_at_once(run, command)

    def _answer_at_once(self, run: StagedRun, command: cmd.AwaitPerson, due: float | None = None) -> None:
        """By the first answer without a time that fits."""
        stage, path = self._stage, run.prefix + command.path
        for answer in stage.case.approvals if command.what == "approval" else stage.case.resolve:
            if answer.at is None and matcher(answer.written["step"])(path):
                stage.at(stage.now if due is None else due, partial(self._answer, run, command.path, answer.written))
                return

    def _answer_on_time(self, answer: Happening) -> None:
        """Answer every step that the path fits and that asks. Raises Broken when there is none."""
        what = "unknown" if "as" in answer.written else "approval"
        wanted = matcher(answer.written["step"])
        asked = [
            (self._stage.runs[run_id], path)
            for (run_id, path), command in self._asked.items()
            if command.what == what and wanted(self._stage.runs[run_id].prefix + path)
        ]
        if not asked and not self._stage.crashed:
            asks = "asks for an approval" if what == "approval" else "has an unknown outcome"
            raise Broken(f"{format_duration(answer.at or 0.0)} after the start, no step '{answer.written['step']}' {asks}")
        for run, path in asked:
            self._answer(run, path, answer.written)

    def _answer(self, run: StagedRun, path: str, given: dict[str, JSON]) -> None:
        command, now = self._asked.get((run.id, path)), self._stage.now
        if command is None:
            return
        event: ev.AnyEvent
        if command.what == "unknown":
            event = ev.StepResolved(at=now, path=path, verdict=given["as"], output=given.get("output"), by=_BY)
        else:
            approved = given.get("approved", True)
            form = (command.subject or {}).get("form") or {}
            event = ev.ApprovalGiven(
                at=now,
                path=path,
                approved=approved,
                digest=command.digest,
                by=given.get("by", _BY),
                comment=given.get("comment"),
                data=_filled(form, given, complete=approved),
            )
        again = partial(self._answer, run, path, given)
        self._stage.deliver(run, event, again=again)

    def _look_it_up(self, run: StagedRun, path: str) -> None:
        """After a crash somebody looks whether the attempt under way was done: the stage knows.

        One that ended in doubt without the crash as well is left to the case.
        """
        stage = self._stage
        found = stage.performed(run, path, run.state.steps[path].attempt)
        verdict, output, due = "retry", None, stage.now
        if found is not None:
            due, answer = found
            if answer.error is not None and answer.error.leaves_doubt:
                self._answer_at_once(run, self._asked[run.id, path], due)
                return
            verdict, output = ("failed", None) if answer.error is not None else ("done", answer.output)
            stage.is_comparable = stage.is_comparable and answer.error is None
        soon(stage, run, ev.StepResolved(at=due, path=path, verdict=verdict, output=output, by=_BY), due)


def _filled(form: dict[str, JSON], given: dict[str, JSON], *, complete: bool) -> dict[str, JSON]:
    """The data of an approval as `agentctl approve` would hand it in: checked, with the form's defaults. Raises Broken."""
    data, step = given.get("data", {}), given["step"]
    for name, value in data.items():
        why = wrong_value(value, form[name]) if name in form else f"is no field of the form{did_you_mean(name, form)}"
        if why is not None:
            raise Broken(f"the approval of '{step}' cannot be given: '{name}' {why}")
    missing = [name for name, schema in form.items() if name not in data and not has_default(schema)]
    if missing and complete:
        raise Broken(f"the approval of '{step}' has a form to fill in; `data` lacks {', '.join(missing)}")
    defaults = {name: schema["default"] for name, schema in form.items() if has_default(schema)} if complete else {}
    return {**defaults, **data}


def event_of(given: dict[str, JSON], id: str, at: float) -> dict[str, JSON]:
    """What a run sees of an event that a case writes as {event, data, id, headers}."""
    return NewEvent(given["event"], given.get("data"), given.get("id", id), at, given.get("headers")).document(at)
