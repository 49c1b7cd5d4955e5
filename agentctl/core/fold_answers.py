"""Fold: answers of timers, other runs, people, events and recorded results to steps that no driver performs."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core import lifecycle, signatures, tool_calls
from agentctl.core.fold_attempts import add_usage, go_live, let_go
from agentctl.core.kinds.registry import kind_of
from agentctl.core.state import RunState, StepState, live_below
from agentctl.core.timestamps import rfc3339


def outcome_unknown(state: RunState, e: ev.OutcomeUnknown) -> None:
    step = state.steps[e.path]
    lifecycle.move(step, "OutcomeUnknown")
    if step.node.index not in step.frame.live:
        go_live(step, e.at)
    if not step.begun:
        _take_doubt_over(state, step)
    state.doubts[tool_calls.identity(step)] = step
    let_go(state, step)
    step.error, step.lost, step.stopping, step.probed = e.error, False, False, False
    state.unknown[e.path] = step
    state.look_at(step)


def _take_doubt_over(state: RunState, step: StepState) -> None:
    """From the same step in an earlier round of its list: there is one effect to look up, and one key that is claimed."""
    doubted = state.doubts.get(tool_calls.identity(step))
    if doubted is not None:
        step.key, step.claim = doubted.key, doubted.claim
        if doubted.status == "unknown":
            lifecycle.move(doubted, "DoubtMoved")


def step_resolved(state: RunState, e: ev.StepResolved) -> None:
    """Settle a doubt. A run that has ended takes the answer too: it changes what is to be undone, and not the outcome."""
    step = state.steps[e.path]
    state.doubts.pop(tool_calls.identity(step), None)
    if state.phase == "finished":
        lifecycle.move_run(state, "StepResolved")
        step.timer_fired, step.answer = False, None  # of before the end
        state.drop_marks()  # the step is looked at first: what it was decides whether there is anything to undo
        state.ended_before, state.finished_at = True, None
    if e.verdict == "retry":
        step.timer_fired = True
    elif e.verdict == "done":
        step.answer = (e.output, None)
    else:
        step.answer = (None, ev.Error("step.unknown_outcome", "the step was looked up and had failed", e.path, step.attempt))
    state.look_at(step)
    if state.phase == "settled":
        state.look_at(state)


def event_received(state: RunState, e: ev.EventReceived) -> None:
    step = state.steps[e.path]
    state.consumed_event_ids[e.event["id"]] = None
    step.answer = (e.event, None)
    state.look_at(step)


def approval_given(state: RunState, e: ev.ApprovalGiven) -> None:
    step = state.steps[e.path]
    answer = {"approved": e.approved, "by": e.by, "comment": e.comment, "data": e.data, "at": rfc3339(e.at)}
    comment = f": {e.comment}" if e.comment else ""
    error = None if e.approved else ev.Error("approval.rejected", f"rejected by {e.by}{comment}", data=answer)
    if signatures.is_waited_for(state, step) and e.approved:
        signatures.signed(state, step, e.data, e.by)
        return
    step.answer = (answer, error)
    state.look_at(step)


def signature_asked(state: RunState, e: ev.SignatureAsked) -> None:
    step = state.steps[e.path]
    go_live(step, e.at)
    signatures.asked(state, step, e)


def step_keyed(state: RunState, e: ev.StepKeyed) -> None:
    step = state.steps[e.path]
    go_live(step, e.at)
    lifecycle.move(step, "StepKeyed")
    step.timer_fired = False
    step.key = state.lookups[e.path] = e.key


def result_found(state: RunState, e: ev.ResultFound) -> None:
    step = state.steps[e.path]
    step.answer, step.source = (e.output, None), e.source
    state.look_at(step)


def result_missing(state: RunState, e: ev.ResultMissing) -> None:
    """It is pending again, at the head of its list; `key` says that this time it runs."""
    step = state.steps[e.path]
    lifecycle.move(step, "ResultMissing")
    del state.lookups[e.path]
    del step.frame.live[step.node.index]
    step.frame.ready.appendleft(step.node.index)
    state.look_at(step.frame)


def timer_fired(state: RunState, e: ev.TimerFired) -> None:
    del state.timers[e.path, e.timer]
    if e.timer == "run":
        state.expired = True
        state.look_at(state)
        return
    step = state.steps[e.path]
    if e.timer == "timeout":
        step.halted = ev.Error("timeout", "", e.path, step.attempt)  # the interpreter words it
        for inner in [*live_below(step), step]:
            inner.stopping = inner.path in state.executing or inner.path in state.children
    else:
        step.timer_fired = True
    state.look_at(step)


def child_finished(state: RunState, e: ev.ChildFinished) -> None:
    step = state.steps[e.path]
    state.children.pop(e.path, None)
    if e.usage is not None and kind_of(step).has_child_run:
        add_usage(state, step, ev.less_usage(e.usage, state.children_usage.get(e.run_id)))  # a resumed child ends again
        state.children_usage[e.run_id] = e.usage
    error = e.error
    if e.status == "not_found":
        error = ev.Error("input.invalid", f"there is no run {e.run_id}")
    elif getattr(step.node.step.action, "detach", False):
        step.answer = ({"run_id": e.run_id}, None)
        state.look_at(step)
        return
    elif e.status != "succeeded":
        reason = f": {error.message}" if error is not None else ""
        data: dict[str, JSON] = {"run_id": e.run_id}
        if state.replay_version < 3:
            data["error"] = error.to_json() if error is not None else None
        error = ev.Error("skill.failed", f"run {e.run_id} {e.status}{reason}", data=data)
    step.answer = (e.output, error)
    state.look_at(step)
