"""Calls of tools that a person signs before they are made.

What is signed are the tool, its arguments, its description and the model's words; the hash binds just these. Where the tool
allows it, a person signs other values for some arguments, and these are the ones that are executed.
"""

from __future__ import annotations

from hashlib import sha256

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core import lifecycle, tool_calls, transcript
from agentctl.core.kinds.kind import fail_start
from agentctl.core.state import RunState, StepState
from agentctl.core.transition import Transition
from agentctl.model import Signature


def ask(run: Transition, step: StepState) -> bool:
    """Ask for a signature if the call needs one. True: it is not to be made now."""
    wanted = _signature(step)
    if wanted is None or step.call is None or step.call.signed:
        return False
    if wanted.condition is not None:
        needed, error = run.holds(wanted.condition, step)
        if error is not None:
            fail_start(run, step, error)
            return True
        if not needed:
            return False
    shown = _shown(step, wanted)
    digest = sha256(transcript.canonical(shown["show"]).encode("utf-8", "replace")).hexdigest()
    run.emit(ev.SignatureAsked(at=run.at, path=step.path, shown=shown, digest=digest))
    return True


def out_of_time(run: Transition, step: StepState) -> None:
    """Nobody has signed in time."""
    wanted = _signature(step)
    assert wanted is not None
    approved = wanted.on_timeout == "approve"
    digest = run.state.approvals[step.path]
    comment = "nobody answered in time"
    run.emit(ev.ApprovalGiven(at=run.at, path=step.path, approved=approved, digest=digest, by="the timeout", comment=comment))


def is_waited_for(state: RunState, step: StepState) -> bool:
    """Whether the step is a call that waits for a signature, and not one whose action asks a person."""
    return step.call is not None and step.call.asked and step.path in state.approvals


def _signature(step: StepState) -> Signature | None:
    return step.call.tool.signature if step.call is not None and step.call.tool is not None else None


def _shown(step: StepState, wanted: Signature) -> dict[str, JSON]:
    call = step.call
    assert call is not None
    talk = call.owner.agent
    assert talk is not None
    assert call.tool is not None
    parameters = tool_calls.parameters(talk, call.tool)
    described = (talk.described or {}).get(call.name) or {}
    arguments = step.names["args"]
    show = {
        "tool": call.name,
        "arguments": arguments,
        "description": call.tool.description or described.get("description") or "",
        "why": talk.turns[-1].step.output["text"],
        "untrusted": False,
    }
    fields = parameters.get("properties", {}) if isinstance(parameters, dict) else {}
    form = {name: {**fields[name], "default": arguments[name]} for name in wanted.edit if name in arguments and name in fields}
    return {"message": f"{call.owner.path} asks to call {call.name}", "show": show, "form": form}


# --- fold --------------------------------------------------------------------------------------------------------------


def asked(state: RunState, step: StepState, event: ev.SignatureAsked) -> None:
    """The call waits: it is no attempt yet."""
    assert step.call is not None
    step.call.asked = True
    lifecycle.move(step, "SignatureAsked")
    step.input = event.shown
    state.approvals[step.path] = event.digest
    wanted = _signature(step)
    if wanted is not None and wanted.timeout is not None:
        state.set_timer(step.path, "wait", event.at + wanted.timeout)


def signed(state: RunState, step: StepState, data: dict[str, JSON], by: str) -> None:
    """The call is pending again, at the head of its list, with the values that were signed."""
    call = step.call
    assert call is not None
    call.signed = True
    changed = {name: value for name, value in data.items() if step.names["args"].get(name) != value}
    if changed:
        step.names = {"args": {**step.names["args"], **changed}}
        call.edited = {"by": by, "values": changed}
    lifecycle.move(step, "Signed")
    step.input = None
    del state.approvals[step.path]
    state.timers.pop((step.path, "wait"), None)
    state.cancelled_waits.append(step.path)
    del step.frame.live[step.node.index]
    step.frame.ready.appendleft(step.node.index)
    state.look_at(step.frame)
