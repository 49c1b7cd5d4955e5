"""Runs that a staged run starts or waits for: interpreted like the run itself, or mocked by the path of the step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.ports import StoredDefinition
from agentctl.testing.mocks import Answer, tool_path
from agentctl.testing.stage import Stage, StagedRun, soon


class Children:
    """`load`: a skill by name; raises NotFound, DefinitionInvalid."""

    def __init__(self, stage: Stage, load: Callable[[str], StoredDefinition]) -> None:
        self._stage = stage
        self._load = load
        self._mocked: dict[str, ev.ChildFinished | None] = {}  # by run id; None: has not ended yet

    def start(self, run: StagedRun, command: cmd.StartChild) -> None:
        """The child of a skill step; after a crash it may be there already."""
        stage, path = self._stage, command.path
        attempt = run.state.steps[path].attempt
        child = stage.runs.get(command.run_id)
        if child is None:
            mocked = stage.mocks.child(run.prefix + path, attempt, tool_path(run.prefix, run.state.steps[path]))
            if mocked is not None:
                self._start_mocked(run, command, *stage.once_performed(run, path, attempt, lambda: mocked))
                return
            problem = self._start_interpreted(run, command)
            if problem is not None:
                soon(stage, run, ev.AttemptFailed(at=stage.now, path=path, attempt=attempt, error=problem))
                return
        if command.detach:
            soon(stage, run, ev.ChildFinished(at=stage.now, path=path, run_id=command.run_id, status="started"))
        elif child is not None and child.state.is_finished:
            soon(stage, run, self._end_of(command.run_id, path))

    def finish(self, run: StagedRun) -> None:
        """A run has ended: answer the step that called it, and those that wait for it."""
        self._notify_all(run.id)

    def await_run(self, run: StagedRun, path: str, run_id: str) -> None:
        """For `wait: {run}`."""
        stage = self._stage
        mocked = stage.mocks.child(run.prefix + path, 1, tool_path(run.prefix, run.state.steps[path]))
        if mocked is not None:
            due, answer = stage.once_performed(run, path, 1, lambda: mocked)
            soon(stage, run, _ended(path, run_id, answer), due)
        elif run_id not in stage.runs and run_id not in self._mocked:
            soon(stage, run, ev.ChildFinished(at=stage.now, path=path, run_id=run_id, status="not_found"))
        elif self._has_ended(run_id):
            soon(stage, run, self._end_of(run_id, path))

    def cancel(self, run: StagedRun, path: str, run_id: str) -> None:
        stage = self._stage
        child = stage.runs.get(run_id)
        if child is not None:
            reason = f"run {run.id}, which called it, was cancelled"
            soon(stage, child, ev.CancelRequested(at=stage.now, reason=reason))
        elif run_id in self._mocked:
            soon(stage, run, ev.ChildFinished(at=stage.now, path=path, run_id=run_id, status="cancelled"))

    def _start_interpreted(self, run: StagedRun, command: cmd.StartChild) -> ev.Error | None:
        """A child that is really interpreted; else why it cannot start."""
        from agentctl.engine.children import MAX_DEPTH
        from agentctl.errors import DefinitionInvalid, InputInvalid, NotFound
        from agentctl.language.inputs import check_inputs

        depth = run.created.parent.depth + 1 if run.created.parent else 1
        if depth > MAX_DEPTH:
            message = f"skill {command.name} would run under {depth - 1} levels of skills; {MAX_DEPTH} is the limit"
            return ev.Error("skill.too_deep", message, command.path)
        try:
            stored = self._load(command.name)
            given = check_inputs(stored.definition, command.input)
        except (NotFound, DefinitionInvalid) as error:
            return ev.Error("skill.not_found", str(error), command.path)
        except InputInvalid as error:
            return ev.Error("input.invalid", str(error), command.path)
        created = ev.RunCreated(
            at=self._stage.now,
            run_id=command.run_id,
            name=stored.definition.name,
            kind=stored.definition.kind,
            version=stored.version,
            input=given,
            trigger="skill",
            parent=ev.Parent(run_id=run.id, path=command.path, depth=depth),
            vars=run.state.vars,
            replay_version=ev.REPLAY_VERSION,
        )
        self._stage.create(f"{run.prefix}{command.path}/", stored, created)
        return None

    def _start_mocked(self, run: StagedRun, command: cmd.StartChild, due: float, answer: Answer) -> None:
        stage, path = self._stage, command.path
        if answer.is_refusal and answer.error is not None:
            attempt = run.state.steps[path].attempt
            soon(stage, run, ev.AttemptFailed(at=stage.now, path=path, attempt=attempt, error=answer.error), due)
            return
        if command.run_id not in self._mocked:
            self._mocked[command.run_id] = None
            end = partial(self._end_mocked, command.run_id, _ended(path, command.run_id, answer))
            stage.at(due, end, lasting=True)  # a run of its own: whoever drives it, drives it on
        if command.detach:
            soon(stage, run, ev.ChildFinished(at=stage.now, path=path, run_id=command.run_id, status="started"))
        elif self._has_ended(command.run_id):
            soon(stage, run, self._end_of(command.run_id, path))

    def _end_mocked(self, run_id: str, ended: ev.ChildFinished) -> None:
        self._mocked[run_id] = ended
        self._notify_all(run_id)

    def _notify_all(self, run_id: str) -> None:
        for other in self._stage.runs.values():
            for path, awaited in other.state.children.items():
                detached = getattr(other.state.steps[path].node.step.action, "detach", False)
                if awaited == run_id and not detached:
                    soon(self._stage, other, self._end_of(run_id, path))

    def _has_ended(self, run_id: str) -> bool:
        run = self._stage.runs.get(run_id)
        return run.state.is_finished if run is not None else self._mocked.get(run_id) is not None

    def _end_of(self, run_id: str, path: str) -> ev.ChildFinished:
        """To be handed to step `path`."""
        run = self._stage.runs.get(run_id)
        if run is None:
            known = self._mocked[run_id]
            assert known is not None
            return msgspec.structs.replace(known, path=path)
        state = run.state
        return ev.ChildFinished(
            at=self._stage.now,
            path=path,
            run_id=run_id,
            status=state.status,
            output=state.output,
            error=state.error,
            usage=state.usage,
        )


def _ended(path: str, run_id: str, answer: Answer) -> ev.ChildFinished:
    status = "succeeded" if answer.error is None else "failed"
    return ev.ChildFinished(at=0.0, path=path, run_id=run_id, status=status, output=answer.output, error=answer.error)
