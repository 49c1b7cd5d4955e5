"""Runs started by a run: what is created in the parent's commit, and what is done about a child that is there already."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from agentctl.core.budget import accounts_of
from agentctl.core.commands import StartChild
from agentctl.core.events import ChildFinished, Error, Parent, RunCreated, RunResumed
from agentctl.core.permissions import closure
from agentctl.core.state import RunState
from agentctl.engine.definitions import Definitions
from agentctl.errors import ActionError, DefinitionInvalid, InputInvalid, NotFound
from agentctl.ports import FINISHED, NewRun, People, Reply, RunRow, Runs, StoredDefinition
from agentctl.triggers.starts import new_run

MAX_DEPTH = 32  # levels of skills above a run


class RunsAndState(Runs, People, Protocol):
    """What is needed of the store here."""


class ChildStart(msgspec.Struct, frozen=True):
    """What a StartChild comes to. `new`: the run to spawn; one that is there already is left as it is, but awaited.

    `resumed`: mail that resumes a child that failed.  `ended`: the child has succeeded already.
    `problem`: why it cannot start.
    """

    new: NewRun | None = None
    resumed: Reply | None = None
    ended: ChildFinished | None = None
    problem: Error | None = None


class Children:
    """The children of one run. `parent`: the run and step above that run, if there is one."""

    def __init__(self, store: RunsAndState, definitions: Definitions, run_id: str, parent: Parent | None) -> None:
        self._store = store
        self._definitions = definitions
        self._run_id = run_id
        self._depth = parent.depth + 1 if parent is not None else 1
        self._pins: dict[str, StoredDefinition] = {}

    async def start(self, command: StartChild, at: float, state: RunState) -> ChildStart:
        """`state`: the parent's, whose `vars` and budgets are the child's too."""
        present = self._store.run(command.run_id)
        if present is not None:
            return self._again(command, present, at, state.vars)
        try:
            return ChildStart(new=await self._new(command, at, state))
        except ActionError as problem:
            return ChildStart(problem=Error(type=problem.type, message=problem.message, step=command.path, data=problem.data))

    def _again(self, command: StartChild, row: RunRow, at: float, vars: dict[str, Any]) -> ChildStart:
        """The child is there: the process died after it was created, or the parent was resumed."""
        if row.status == "succeeded":
            ended = ChildFinished(at=at, path=command.path, run_id=row.id, status=row.status, output=row.output, usage=row.usage)
            return ChildStart(ended=ended)
        created = RunCreated(
            at=at, run_id=row.id, name=row.name, kind=row.kind, version=row.version, input=row.input, parent=row.parent
        )
        memory = self._store.memory(row.name) if row.started_at is None else None
        resumed = Reply(run_id=row.id, event=RunResumed(at=at, vars=vars, state=memory)) if row.status in FINISHED else None
        return ChildStart(new=NewRun(created=created, awaited=not command.detach), resumed=resumed)

    async def _new(self, command: StartChild, at: float, state: RunState) -> NewRun:
        from agentctl.language.inputs import check_inputs

        depth = self._depth
        if depth > MAX_DEPTH:
            raise ActionError(
                "skill.too_deep", f"skill {command.name} would run under {depth - 1} levels of skills; {MAX_DEPTH} is the limit"
            )
        stored = await self._pinned(command.name)
        try:
            given = check_inputs(stored.definition, command.input)
        except InputInvalid as error:
            text = str(error)
            message = text if text.startswith("skill ") else f"skill '{command.name}': {text}"
            raise ActionError("input.invalid", message) from None
        try:
            return new_run(
                stored,
                given,
                at=at,
                run_id=command.run_id,
                trigger="skill",
                vars=state.vars,
                parent=Parent(run_id=self._run_id, path=command.path, depth=depth),
                accounts=accounts_of(state),
                permissions=closure(state),
                awaited=not command.detach,
                event_depth=state.event_depth,
            )
        except InputInvalid as error:
            raise ActionError("expression", str(error)) from None

    async def _pinned(self, name: str) -> StoredDefinition:
        if name not in self._pins:
            try:
                self._pins[name] = await self._definitions.skill(self._run_id, name)
            except NotFound as error:
                raise ActionError("skill.not_found", str(error)) from None
            except DefinitionInvalid as error:
                first = error.problems[0] if error.problems else error
                raise ActionError("skill.not_found", f"skill {name} cannot be used: {first}") from None
        return self._pins[name]
