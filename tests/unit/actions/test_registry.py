from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentctl import spec
from agentctl.actions import registry
from agentctl.spec.catalog import BUILT_IN as ACTIONS

NOT_YET = {name for name, action in ACTIONS.items() if not action.is_supported}


def test_every_action_of_the_registry_can_be_made() -> None:
    actions = registry.build(models={"default": "openai/x"})
    assert set(actions) == {"set", "emit", "remember", "history", "shell", "python", "http", "llm"}
    assert [name for name in actions if hasattr(actions[name], "now")] == ["set", "remember", "emit"]
    assert [name for name in actions if spec.actions()[name].is_instant] == ["set", "remember", "emit"]
    assert actions["shell"] is actions["shell"]


def test_an_unknown_action_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        registry.action("publish")


def test_every_action_of_the_language_is_performed_or_refused() -> None:
    of_the_core = {"agent", "skill", "wait", "approve", "foreach", "repeat", "steps", "fail", "return"}
    performed = set(registry.build())
    assert performed | of_the_core | NOT_YET == set(ACTIONS)
    assert not NOT_YET & (performed | of_the_core)


def test_set_gives_back_its_params_at_once(call: Any, around: Any) -> None:
    action: Any = registry.action("set")
    assert action.now(call(a=1)).output == {"a": 1}
    assert asyncio.run(action.perform(call(a=1), around)).output == {"a": 1}


def test_making_the_actions_imports_nothing_heavy(repository: Path) -> None:
    program = (
        "import sys; from agentctl.actions import registry, secrets, surroundings; made = dict(registry.build());"
        "print([name for name in ('litellm', 'httpx2', 'httpx', 'jsonschema', 'ruamel', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
