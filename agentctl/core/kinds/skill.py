"""`skill`: an attempt is a run of another definition."""

from __future__ import annotations

from hashlib import sha256

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core import permissions
from agentctl.core.kinds.kind import Kind, fail_start, start_attempt
from agentctl.core.state import RunState, StepState
from agentctl.core.tool_walls import skill_name
from agentctl.core.transition import Transition
from agentctl.model import Skill

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


class SkillKind(Kind):
    has_child_run = True

    def begin(self, run: Transition, step: StepState) -> None:
        arguments, error = run.evaluate(_skill(step).arguments, step)
        if error is not None:
            fail_start(run, step, error)
            return
        refused = permissions.skill_refusal(run.state, skill_name(step))
        if refused is not None:
            fail_start(run, step, refused)
            return
        child = step.child or child_id(run.state, step)  # the run of an earlier attempt is resumed
        start_attempt(run, step, input=arguments or {}, child=child)

    def begin_again(self, run: Transition, step: StepState) -> None:
        start_attempt(run, step, child=child_id(run.state, step))

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        assert event.child is not None
        step.child = state.children[step.path] = event.child

    def commands(self, state: RunState, step: StepState) -> list[cmd.Command]:
        action = _skill(step)
        assert step.child is not None
        return [cmd.StartChild(step.path, step.child, skill_name(step), step.input, action.detach)]


def _skill(step: StepState) -> Skill:
    action = step.node.step.action
    assert isinstance(action, Skill)
    return action


def child_id(state: RunState, step: StepState) -> str:
    """Return the id of the run that the next attempt starts: derived, so that a repeated start is the same run."""
    seed = f"{state.run_id}/{step.path}#{step.launches + 1}"
    if step.call is not None:  # a resume may ask for something else at the same path
        seed += f"#{step.call.hash}#{state.attempt}"
    number = int.from_bytes(sha256(seed.encode()).digest()[:8])
    return "".join(_LETTERS[(number >> 5 * i) & 31] for i in range(12))
