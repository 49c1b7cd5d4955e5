"""Attempts that a case allows to really run: the project's own actions, in its root, with the case's secrets and no others.

They take no virtual time, but for one that runs into its timeout.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import IO
from weakref import finalize

import msgspec

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.state import RunState
from agentctl.errors import ActionError
from agentctl.language.cases import Case
from agentctl.language.project.project import Project
from agentctl.ports import Call, LargeOutput, Outcome, Scrubber, SecretSource, StoredDefinition
from agentctl.testing.mocks import Answer, call_of


class RealActions:
    def __init__(self, project: Project, case: Case, load: Callable[[str], StoredDefinition]) -> None:
        """`load`: a skill by name."""
        self._project = project
        self._case = case
        self._load = load

    def perform(self, command: cmd.Execute, state: RunState) -> Answer:
        """One attempt, to its end in the real world."""
        import asyncio

        from agentctl.expressions.values import insert_secrets
        from agentctl.performing.json_values import json_problem
        from agentctl.performing.keeping import opened

        around = self._around
        try:
            params = insert_secrets(command.params, command.secrets, around.secrets.read)
            output, outcome = asyncio.run(self._attempt(command, call_of(command, state, opened(command.uses, params))))
        except KeyError as error:
            return Answer(error=ev.Error("expression", f"the case gives no value for the secret {error.args[0]}"))
        except TimeoutError:
            message = f"the attempt took longer than {command.timeout:g} s"
            return Answer(error=ev.Error("timeout", message), takes=command.timeout or 0.0)
        except ActionError as error:
            usage = None if error.usage is None else msgspec.convert(error.usage, ev.Usage)
            scrubbed = ev.Error(error.type, around.scrub(error.message), data=around.scrub(error.data))
            return Answer(error=scrubbed, usage=usage, retry_after=error.retry_after)
        why = json_problem(output)
        if why is not None:
            return Answer(error=ev.Error("output.invalid", f"the output cannot be kept: {why}"))
        return Answer(output=around.scrub(output), usage=outcome.usage)

    async def _attempt(self, command: cmd.Execute, call: Call) -> tuple[JSON, Outcome]:
        import asyncio

        from agentctl.actions.registry import build
        from agentctl.language.catalog import Catalog
        from agentctl.performing.keeping import kept, once

        actions = build(
            self._project.models,
            policy=self._project.policy,
            describe_skill=self._describe_skill,
            skill_names=lambda: Catalog(self._project).names("skill"),
        )
        action = actions[command.uses]
        async with asyncio.timeout(command.timeout):
            outcome = await action.perform(call, self._around)
        return await kept(outcome, self._around, once), outcome

    def _describe_skill(self, run_id: str, name: str) -> dict[str, JSON]:
        from agentctl.language.tools import described_skill

        return described_skill(self._load(name).definition)

    @cached_property
    def _around(self) -> _CaseSurroundings:
        return _CaseSurroundings(self._project.root, self._case.secrets or {})


class _CaseSurroundings:
    """See `ports.Surroundings`. What steps log goes nowhere; large outputs stand in a folder that goes with it."""

    def __init__(self, root: Path, values: dict[str, str]) -> None:
        from agentctl.actions.secrets import Secrets

        self.root = root
        self.store = Path(mkdtemp(prefix="agentctl-test-"))
        finalize(self, shutil.rmtree, self.store, ignore_errors=True)
        self._secrets = Secrets(self.store, ("env",), values)  # that folder has no .env, so the values are all there is

    @property
    def secrets(self) -> SecretSource:
        return self._secrets

    def log(self, call: Call, stream: str, text: str) -> None:
        pass

    def scrub(self, value: JSON) -> JSON:
        return self._secrets.scrub(value)

    def scrubber(self) -> Scrubber:
        return self._secrets.scrubber()

    @property
    def executor_lock(self) -> None:
        return None

    def end_left_behind(self, run_id: str, paths: Collection[str]) -> None:
        pass

    def keep(self, output: LargeOutput) -> dict[str, JSON]:
        data = b""
        if output.file is not None:
            output.file.seek(0)
            data = output.file.read()
        data += output.rest
        digest = hashlib.sha256(data).hexdigest()
        (self.store / digest).write_bytes(data)
        return {"file": str(self.store / digest), "bytes": len(data), "sha256": digest, "kind": output.kind}

    def open(self, reference: dict[str, JSON]) -> IO[bytes]:
        return open(self.store / str(reference["sha256"]), "rb")
