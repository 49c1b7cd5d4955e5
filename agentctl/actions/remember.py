"""`remember`: the evaluated mapping is the output; the commit that records it makes it the state of the definition's name."""

from __future__ import annotations

from agentctl.actions.set import SetAction
from agentctl.ports import ActionContext


class RememberAction(SetAction):
    """As `set`: what makes it last is `core.commands.Remember`, which follows from its success."""


def make(context: ActionContext) -> RememberAction:
    return RememberAction()
