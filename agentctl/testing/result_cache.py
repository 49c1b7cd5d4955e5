"""Results under an `idempotency_key` or a cache key, shared by the runs of one case: one step claims a key, the others wait."""

from __future__ import annotations

from functools import partial
from typing import Any

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.dispatch import find_result
from agentctl.testing.stage import Stage, StagedRun, soon

Key = tuple[str, str, str]  # the definition's name, the step's place in it, the key


class ResultCache:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._found: dict[Key, tuple[float, Any, str]] = {}  # when, the output, which step
        self._claims: dict[Key, tuple[str, str]] = {}  # (run id, path) that may execute

    def find(self, run: StagedRun, command: cmd.LookupResult) -> None:
        """Answer now; a key that another step holds is asked for again when that has ended."""
        stage, key = self._stage, (run.state.name, command.step, command.key)
        found = self._found.get(key)
        if found is not None and (command.ttl is None or found[0] + command.ttl > stage.now):
            soon(stage, run, ev.ResultFound(at=stage.now, path=command.path, output=found[1], source=found[2]))
        elif self._claims.setdefault(key, (run.id, command.path)) == (run.id, command.path):
            soon(stage, run, ev.ResultMissing(at=stage.now, path=command.path))

    def commit(self, run: StagedRun, command: cmd.StoreResult | cmd.InvalidateResult) -> None:
        """What stands in one piece with the events that it came with."""
        key = (run.state.name, command.step, command.key)
        if isinstance(command, cmd.InvalidateResult):
            self._found.pop(key, None)
        else:
            self._found[key] = (self._stage.now, command.output, f"{run.id}/{command.path}")
            self._release(key)

    def give_back(self, run: StagedRun, command: cmd.ReleaseClaim) -> None:
        key = (run.state.name, command.step, command.key)
        if self._claims.get(key) == (run.id, command.path):
            self._release(key)

    def _release(self, key: Key) -> None:
        self._claims.pop(key, None)
        for run in self._stage.runs.values():
            if run.state.name == key[0]:
                for path in run.state.lookups:
                    self._stage.at(self._stage.now, partial(self._ask_again, run, path))

    def _ask_again(self, run: StagedRun, path: str) -> None:
        if path in run.state.lookups:
            self.find(run, find_result(run.state.steps[path]))
