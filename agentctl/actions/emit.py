"""`emit`: the event itself is the output; the driver puts it out in the commit that completes the step."""

from __future__ import annotations

from agentctl.actions.walls import check_event
from agentctl.errors import ActionError
from agentctl.language.event_names import event_id_flaw, event_name_flaw
from agentctl.ports import ActionContext, Call, Outcome, Surroundings


class EmitAction:
    """Output `{name, data, id}`. Without `id` it is the step's idempotency key: however often it executes, one event."""

    def now(self, call: Call) -> Outcome:
        name, event_id = call.params["event"], call.params.get("id", call.idempotency_key)
        flaw = event_name_flaw(name)
        if flaw is not None:
            raise ActionError("input.invalid", flaw)
        if "walls" in call.params:
            check_event(name, call.params["walls"])
        if isinstance(event_id, int) and not isinstance(event_id, bool):
            event_id = str(event_id)
        if "id" in call.params and (flaw := event_id_flaw(event_id)) is not None:
            raise ActionError("input.invalid", flaw)
        return Outcome({"name": name, "data": call.params.get("data", {}), "id": event_id})

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        return self.now(call)


def make(context: ActionContext) -> EmitAction:
    return EmitAction()
