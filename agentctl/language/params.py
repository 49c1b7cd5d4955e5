"""The parameters of a task in the shape that `model.Task` gives, from what a step or a tool writes."""

from __future__ import annotations

from typing import Any

from agentctl.language.sizes import parse_size
from agentctl.spec import action


def shell_params(holder: dict[str, Any]) -> dict[str, Any]:
    """Of a step or a tool: `shell` and what stands beside it."""
    body, found = holder["shell"], action("shell")
    assert found is not None
    params = dict(body) if isinstance(body, dict) else {"run": body}
    params.update({key: holder[key] for key in found.beside if key in holder})
    if isinstance(params["run"], list):
        params["argv"] = params.pop("run")
    return params


def http_params(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "max_bytes": parse_size(body["max_bytes"])} if "max_bytes" in body else body
