"""`tools`: what the tools of an agent take, where its definition does not say: looked up once, when the agent starts.

Params: {tools: [{name, kind, function | skill | skills}]}. Output: tool -> {description, parameters}: of a skill its description
and its input, of a function its docstring and its signature, of a library {skills: name -> these}.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from fnmatch import fnmatchcase
from typing import Any

from agentctl import JSON
from agentctl.actions import describe_function
from agentctl.actions.launch import as_file, check_end, start
from agentctl.actions.output import Output, Stderr
from agentctl.actions.process import GRACE
from agentctl.errors import ActionError, AgentctlError
from agentctl.expressions.json_text import read_json
from agentctl.ports import ActionContext, Call, DescribeSkill, Outcome, Surroundings


class ToolListAction:
    instant = False

    def __init__(self, describe_skill: DescribeSkill | None, skill_names: Callable[[], list[str]]) -> None:
        self._describe_skill = describe_skill
        self._skill_names = skill_names

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        found: dict[str, JSON] = {}
        for tool in call.params["tools"]:
            if tool["kind"] == "python":
                found[tool["name"]] = await self._function(tool, call, around)
            elif tool["kind"] == "find_skill":
                found[tool["name"]] = {"skills": self._library(tool["skills"], call)}
            else:
                found[tool["name"]] = self._skill(tool["skill"], call)
        return Outcome(found)

    def _library(self, pattern: str, call: Call) -> JSON:
        """The skills whose names fit. One that cannot be read is left out: the model does without it."""
        found: dict[str, JSON] = {}
        for name in self._skill_names():
            if fnmatchcase(name, pattern):
                with suppress(ActionError):
                    found[name] = self._skill(name, call)
        return found

    def _skill(self, name: str, call: Call) -> JSON:
        assert self._describe_skill is not None
        try:
            return self._describe_skill(call.run_id, name)
        except AgentctlError as error:
            raise ActionError("skill.not_found", str(error)) from None

    async def _function(self, tool: dict[str, Any], call: Call, around: Surroundings) -> JSON:
        with ExitStack() as stack:
            channel = stack.enter_context(tempfile.TemporaryFile(dir=around.store))
            stdin = stack.enter_context(as_file(b""))
            stdout, stderr = Output(call, around, "stdout"), Stderr(call, around, "stderr")
            script, fd = describe_function.__file__, channel.fileno()
            child = [sys.executable, "-P", script, str(around.root), tool["function"], str(fd)]
            code = await start(
                child, call, around, cwd=around.root, env={}, stdin=stdin, stdout=stdout, stderr=stderr, fds=[fd], grace=GRACE
            )
            channel.seek(0)
            text = channel.read()
            if not text:
                check_end(code, [0], stderr)
                raise ActionError("python.exception", f"{tool['function']} could not be described.")
            answer = read_json(text)
        if "failure" in answer:
            raise ActionError("python.exception", f"{tool['function']} is no tool: {answer['failure']}")
        return answer


def make(context: ActionContext) -> ToolListAction:
    return ToolListAction(context.describe_skill, context.skill_names)
