"""Every kind of step by its name."""

from __future__ import annotations

from agentctl.core.graph import KindName
from agentctl.core.kinds.agent import AgentKind
from agentctl.core.kinds.approve import ApproveKind
from agentctl.core.kinds.fail import FailKind
from agentctl.core.kinds.foreach import ForeachKind
from agentctl.core.kinds.group import GroupKind
from agentctl.core.kinds.kind import Kind
from agentctl.core.kinds.repeat import RepeatKind
from agentctl.core.kinds.return_ import ReturnKind
from agentctl.core.kinds.skill import SkillKind
from agentctl.core.kinds.task import TaskKind
from agentctl.core.kinds.turn import TurnKind
from agentctl.core.kinds.wait import WaitKind
from agentctl.core.state import StepState

KINDS: dict[KindName, Kind] = {
    "task": TaskKind(),
    "group": GroupKind(),
    "foreach": ForeachKind(),
    "repeat": RepeatKind(),
    "skill": SkillKind(),
    "wait": WaitKind(),
    "approve": ApproveKind(),
    "agent": AgentKind(),
    "turn": TurnKind(),
    "fail": FailKind(),
    "return": ReturnKind(),
}


def kind_of(step: StepState) -> Kind:
    """Return the behaviour of a step."""
    return KINDS[step.node.kind]
