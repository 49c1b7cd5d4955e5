"""`set`: the evaluated mapping is the output."""

from __future__ import annotations

from agentctl.ports import ActionContext, Call, Outcome, Surroundings


class SetAction:
    def now(self, call: Call) -> Outcome:
        return Outcome(call.params)

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        return self.now(call)


def make(context: ActionContext) -> SetAction:
    return SetAction()
