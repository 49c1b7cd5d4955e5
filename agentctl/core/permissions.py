"""What a run may do: the `permissions` of its definition, and those of the runs above it, which bind their skills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentctl import JSON
from agentctl.core.events import Error
from agentctl.core.state import RunState
from agentctl.spec.permissions import ANY, secrets_problem, skill_problem, task_problem


def refusal(state: RunState, uses: str, params: JSON, secrets: list[JSON]) -> Error | None:
    """Why a task with these parameters is not begun; None: it may be."""
    for permissions in _bound_by(state):
        why = task_problem(permissions, uses, params) or secrets_problem(permissions, _secret_names(secrets))
        if why is not None:
            return _denied(why)
    return None


def skill_refusal(state: RunState, name: str) -> Error | None:
    """Why the skill is not called; None: it may be."""
    found = (skill_problem(permissions, name) for permissions in _bound_by(state))
    return next((_denied(why) for why in found if why is not None), None)


def _denied(what: str) -> Error:
    return Error("permission.denied", f"{what}: `permissions` does not allow it", outcome="not_begun")


def allowed_hosts(state: RunState) -> list[list[str]]:
    """For a request, whose redirects are checked as well: a list of hosts for each of the definitions that bind the run."""
    found = (list(permissions.get("http", ())) for permissions in _bound_by(state))
    return [hosts for hosts in found if ANY not in hosts]


def closure(state: RunState) -> list[JSON]:
    """What binds the runs that this one starts."""
    return list(_bound_by(state))


def _bound_by(state: RunState) -> Iterator[dict[str, Any]]:
    yield from state.permissions
    if state.plan.definition.permissions is not None:
        yield state.plan.definition.permissions


def _secret_names(secrets: list[JSON]) -> set[str]:
    return {part["secret"] for _, parts in secrets for part in parts if isinstance(part, dict)}
