from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agent_project import AgentProject, import_litellm


@pytest.fixture
def agent(tmp_path, make_model) -> Callable[..., AgentProject]:
    """`agent(script, **models)`: a project whose default model says what the script says."""

    import_litellm()

    def make(script: Any, **models: Any) -> AgentProject:
        return AgentProject(tmp_path, make_model(script), **models)

    return make
