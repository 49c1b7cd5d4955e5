"""One event into the state. Evaluates nothing, decides nothing: what a decision needs is put on `RunState.due`.

`apply` trusts its caller (`interpreter`) that an external event is not stale; what the tables of `lifecycle` do not know raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.core import events as ev
from agentctl.core import lifecycle
from agentctl.core.budget import estimate
from agentctl.core.frames import close_frame, open_frame, round_key, without_rounds
from agentctl.core.graph import HANDLERS
from agentctl.core.instant import rfc3339
from agentctl.core.reopen import go_on, move_to, open_items, reopen_run
from agentctl.core.state import Frame, RunState, StepState, live_below
from agentctl.model import Approve, Wait

# Error types of attempts that may have done their work and could not say so: cut off, or answered by what cannot be read.
NO_ANSWER = frozenset(
    {"timeout", "cancelled", "internal", "shell.signal", "http.connect", "http.too_large", "output.invalid"}
)


def apply(state: RunState, event: ev.AnyEvent) -> None:
    """Fold one event in. Raises IllegalTransition for what can never follow the events before it."""
    _APPLY[type(event)](state, event)
    state.head += 1
    state.at = event.at


# --- the run -------------------------------------------------------------------------------------------------------


def _run_created(state: RunState, e: ev.RunCreated) -> None:
    state.phase = lifecycle.next_run_phase(state.phase, "RunCreated")
    state.run_id, state.name, state.version = e.run_id, e.name, e.version
    state.plan = state.plan_of(e.version)
    state.input, state.trigger, state.event, state.parent = e.input, e.trigger, e.event, e.parent
    state.vars, state.accounts = e.vars, e.accounts
    state.created_at, state.scheduled_at = e.at, e.scheduled_at


def _run_started(state: RunState, e: ev.RunStarted) -> None:
    state.phase = lifecycle.next_run_phase(state.phase, "RunStarted")
    state.started_at = e.at
    state.memory = e.state
    state.attempt = 1
    _set_run_timer(state, e.at)
    state.root = Frame("", state.plan.root, "main")
    open_frame(state, state.root)


def _set_run_timer(state: RunState, at: float) -> None:
    if state.plan.definition.timeout is not None:
        state.set_timer("", "run", at + state.plan.definition.timeout)


def _run_recovered(state: RunState, e: ev.RunRecovered) -> None:
    state.phase = lifecycle.next_run_phase(state.phase, "RunRecovered")
    state.lost_tokens += sum(state.reserved.values())
    for step in list(state.executing.values()):
        if step.node.is_once:
            del state.executing[step.path]
            state.reserved.pop(step.path, None)
            step.lost = True
            state.look_at(step)
        elif step.stopping:  # its process died with the driver; nobody will answer
            del state.executing[step.path]
            state.reserved.pop(step.path, None)
            step.stopping = False
            step.error = ev.Error("cancelled", "stopped", step.path, step.attempt)
            step.status = lifecycle.next_step_status(step.path, step.status, "AttemptFailed")
            state.look_at(step)


def _run_resumed(state: RunState, e: ev.RunResumed) -> None:
    state.phase = lifecycle.next_run_phase(state.phase, "RunResumed")
    state.attempt += 1
    state.outcome = state.output = state.error = state.finished_at = state.cancel = state.returned = None
    state.expired = False
    if e.version is not None:
        move_to(state, state.plan_of(e.version), e.version)
    if e.vars is not None:
        state.vars = e.vars
    if e.state is not None:
        state.memory = e.state
    if state.started_at is None:
        state.started_at = e.at
    _set_run_timer(state, e.at)
    reopen_run(state, set(e.redo), e.at)


def _cancel_requested(state: RunState, e: ev.CancelRequested) -> None:
    state.phase = lifecycle.next_run_phase(state.phase, "CancelRequested")
    state.cancel = e.reason or ""
    state.look_at(state)


def _settled(state: RunState, e: ev.Settled) -> None:
    was_started = state.root is not None
    state.phase = lifecycle.next_run_phase(state.phase, "Settled")
    state.outcome, state.output, state.error = e.status, e.output, e.error
    state.timers.pop(("", "run"), None)
    first = {"succeeded": "on_success", "failed": "on_failure", "cancelled": "on_cancel"}[e.status]
    state.todo = [name for name in (first, HANDLERS[-1]) if name in state.plan.handlers and was_started]
    if state.root is not None and state.root.live:
        halt(state, state.root)
    elif state.root is not None:
        close_frame(state, state.root)
    state.look_at(state)


def halt(state: RunState, frame: Frame) -> None:
    """Start nothing more in or below `frame`; attempts and children under way are to be stopped."""
    frame.halted = True
    for step in frame.live_steps():
        step.stopping = step.path in state.executing or step.path in state.children


def _run_finished(state: RunState, e: ev.RunFinished) -> None:
    state.phase = lifecycle.next_run_phase(state.phase, "RunFinished")
    state.finished_at = e.at
    state.timers.clear()


def _block_started(state: RunState, e: ev.BlockStarted) -> None:
    if e.role == "handler":
        name = e.path.split("@")[0]
        state.todo.remove(name)
        names: dict[str, Any] = {"error": state.error.to_json() if state.error else None}
        frame = Frame(e.path, state.plan.handlers[name], "handler", outer=state.root, vars=names)
        open_frame(state, frame, name)
        return
    assert e.owner is not None
    step = state.steps[e.owner]
    node = step.node
    if e.role == "fallback":
        assert node.fallback is not None
        assert step.error is not None
        step.status = lifecycle.next_step_status(step.path, step.status, "BlockStarted")
        names = {"error": step.error.to_json()}
        frame = Frame(e.path, node.fallback, "fallback", owner=step, outer=step.frame, vars=names)
        open_frame(state, frame, f"{step.path}.fallback")
    elif e.role == "probe":
        assert node.probe is not None
        frame = Frame(e.path, node.probe, "probe", owner=step, outer=step.frame)
        open_frame(state, frame, f"{step.path}.probe")
    elif e.role == "undo":
        assert node.undo is not None
        state.undoable.remove(step)
        step.undone = True
        names = {"error": state.error.to_json() if state.error else None}
        frame = Frame(e.path, node.undo, "undo", outer=step.frame, prefix=f"{step.path}.", vars=names)
        open_frame(state, frame, f"{step.path}.undo")
    else:
        assert node.body is not None
        step.fired = False
        names = {"index": step.iteration, "last": step.last, "item": step.iteration}
        frame = Frame(e.path, node.body, "iteration", owner=step, outer=step.frame, index=step.iteration, vars=names)
        step.iteration += 1
        step.bodies.clear()  # only the last iteration can go on after a resume
        open_frame(state, frame)


def _block_finished(state: RunState, e: ev.BlockFinished) -> None:
    frame = state.frames[e.path]
    frame.ended_well = e.error is None
    close_frame(state, frame)
    step = frame.owner
    if step is None:  # a handler, an undo, or the run's own list after a halt
        state.look_at(state)
        return
    if frame.role == "probe":
        _after_probe(step, e)
        state.look_at(step)
        return
    if e.error is not None:
        step.failure = step.failure or e.error
    elif not frame.block.leaves_traces:
        state.ended.append(frame)
    if frame.role == "item":
        step.outputs[frame.index] = e.output
        if not frame.is_halted():
            open_items(state, step, e.at)
    else:
        step.last = e.output
        _after_iteration(state, step, e)
    state.look_at(step)


def _after_probe(step: StepState, e: ev.BlockFinished) -> None:
    """`{done: true, output}`: it was done; `{done: false}`: it may execute; anything else: the probe could not tell."""
    found = e.output
    step.probed = True
    if e.error is None and isinstance(found, dict) and isinstance(found.get("done"), bool):
        if found["done"]:
            step.answer = (found.get("output"), None)
        else:
            step.fired = True


def _after_iteration(state: RunState, step: StepState, e: ev.BlockFinished) -> None:
    """Another iteration begins at once or after a pause; none: the step is over (`fired` stays false, `answer` is set)."""
    action = step.node.step.action
    every, most = getattr(action, "every", 0.0), getattr(action, "max", 0)
    if e.error is not None or not e.again:
        step.answer = (step.last, e.error)
    elif every and step.iteration < most:
        state.set_timer(step.path, "pause", e.at + every)
    else:
        step.fired = True


# --- a step --------------------------------------------------------------------------------------------------------


def _step_started(state: RunState, e: ev.StepStarted) -> None:
    step = state.steps[e.path]
    node = step.node
    step.status = lifecycle.next_step_status(e.path, step.status, "StepStarted")
    step.attempt = e.attempt
    step.launches += 1
    step.begun = True
    step.fired = step.lost = False
    step.answer = None
    if state.unknown.pop(e.path, None) is not None:
        state.forgotten.append(e.path)
    if node.index not in step.frame.live:
        _go_live(step, e.at)
    if e.input is not None:
        step.input, step.secrets = e.input, e.secrets
    if node.kind == "task":
        state.executing[e.path] = step
        if node.step.uses == "llm":
            state.reserved[e.path] = estimate(step.input)
    elif step.held is not None:
        go_on(state, step, e.at)
    else:
        step.bodies = []
        _started[node.kind](state, step, e)
        timeout = node.step.timeout
        if timeout is not None and step.answer is None:
            state.set_timer(e.path, "timeout", e.at + timeout)


def _go_live(step: StepState, at: float) -> None:
    step.started_at = at
    step.frame.live[step.node.index] = step
    _leave_ready(step.frame, step.node.index)


def _leave_ready(frame: Frame, index: int) -> None:
    ready = frame.ready
    if ready and ready[0] == index:
        ready.popleft()
    elif index in ready:
        ready.remove(index)


def _group_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    assert step.node.body is not None
    key = round_key(state, step.path)
    open_frame(state, Frame(key, step.node.body, "group", owner=step, outer=step.frame), step.path)


def _foreach_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.input = {"items": step.input["items"], "key": round_key(state, step.path)}  # `key`: of this round's items
    state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
    step.outputs = [None] * len(step.input["items"])
    step.iteration, step.failure = 0, None
    open_items(state, step, e.at)
    state.look_at(step)


def _repeat_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.input = {"key": round_key(state, step.path)}
    state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
    step.iteration, step.last, step.failure, step.fired = 0, None, None, True
    state.look_at(step)


def _wait_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.status = "waiting"
    if "run" in step.input:
        state.children[step.path] = step.input["run"]
    elif "event" in step.input:
        state.subscriptions[step.path] = step.input["event"]
        _set_wait_timer(state, step, e.at)
    else:
        state.set_timer(step.path, "wait", step.input["due"])


def _approve_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.status = "waiting"
    state.approvals[step.path] = step.input["digest"]
    _set_wait_timer(state, step, e.at)


def _set_wait_timer(state: RunState, step: StepState, at: float) -> None:
    action = step.node.step.action
    assert isinstance(action, Wait | Approve)
    if action.timeout is not None:
        state.set_timer(step.path, "wait", at + action.timeout)


def _skill_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.child = e.child
    assert e.child is not None
    step.status = "waiting"
    state.children[step.path] = e.child


def _return_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.status = "waiting"
    step.answer = (step.input["value"], None)
    state.look_at(step)


_started: dict[str, Callable[[RunState, StepState, ev.StepStarted], None]] = {
    "group": _group_started,
    "foreach": _foreach_started,
    "repeat": _repeat_started,
    "wait": _wait_started,
    "approve": _approve_started,
    "skill": _skill_started,
    "return": _return_started,
}


def _step_succeeded(state: RunState, e: ev.StepSucceeded) -> None:
    step = state.steps[e.path]
    if step.status == "pending":
        _leave_ready(step.frame, step.node.index)
    lifecycle.next_step_status(e.path, step.status, "StepSucceeded")
    step.output, step.error = e.output, None
    _add_usage(state, step, e.usage)
    if e.status != "reused":
        if step.node.undo is not None:
            state.undoable.append(step)
        if step.node.is_once:
            state.once[without_rounds(e.path)] = e.output
    _end(state, step, e.status, e.at)
    if step.node.kind == "return" and state.phase == "running" and state.root is not None:  # in a handler it ends just that
        state.returned = (e.output,)
        halt(state, state.root)
        state.look_at(state)


def _attempt_failed(state: RunState, e: ev.AttemptFailed) -> None:
    step = state.steps[e.path]
    if step.status == "pending":  # its expressions failed: the attempt was over before it began
        _go_live(step, e.at)
    step.status = lifecycle.next_step_status(e.path, step.status, "AttemptFailed")
    step.attempt = e.attempt
    error = e.error
    step.error = error if error.step else ev.Error(error.type, error.message, e.path, step.attempt, error.data)
    step.retry_after, step.halted, step.stopping = e.retry_after, None, step.stopping and step.halted is None
    if e.usage is None and gave_no_answer(error):
        state.lost_tokens += state.reserved.get(e.path, 0)
    _add_usage(state, step, e.usage)
    _let_go(state, step)
    state.look_at(step)


def _retry_scheduled(state: RunState, e: ev.RetryScheduled) -> None:
    step = state.steps[e.path]
    step.status = lifecycle.next_step_status(e.path, step.status, "RetryScheduled")
    state.set_timer(e.path, "retry", e.due)


def _step_failed(state: RunState, e: ev.StepFailed) -> None:
    step = state.steps[e.path]
    lifecycle.next_step_status(e.path, step.status, "StepFailed")
    step.error = e.error
    _end(state, step, "failed", e.at)


def _step_skipped(state: RunState, e: ev.StepSkipped) -> None:
    step = state.steps[e.path]
    lifecycle.next_step_status(e.path, step.status, "StepSkipped")
    _leave_ready(step.frame, step.node.index)
    _end(state, step, "skipped", e.at)


def _step_cancelled(state: RunState, e: ev.StepCancelled) -> None:
    step = state.steps[e.path]
    lifecycle.next_step_status(e.path, step.status, "StepCancelled")
    _end(state, step, "unknown" if is_in_doubt(step) else "cancelled", e.at)


def gave_no_answer(error: ev.Error) -> bool:
    """True when the attempt may have taken effect all the same. `data.sent` false: it never left this machine."""
    return error.type in NO_ANSWER and not (isinstance(error.data, dict) and error.data.get("sent") is False)


def is_in_doubt(step: StepState) -> bool:
    """True when an attempt of an `effect: once` step was begun and did not say how it ended."""
    if not step.node.is_once or step.node.body is not None:  # of a container, only the steps in it can be
        return False
    return step.status in ("running", "unknown") or (
        step.status == "failing" and step.error is not None and gave_no_answer(step.error)
    )


def _outcome_unknown(state: RunState, e: ev.OutcomeUnknown) -> None:
    step = state.steps[e.path]
    step.status = lifecycle.next_step_status(e.path, step.status, "OutcomeUnknown")
    _let_go(state, step)
    step.error, step.lost, step.stopping, step.probed = e.error, False, False, False
    state.unknown[e.path] = step
    state.look_at(step)


def _step_resolved(state: RunState, e: ev.StepResolved) -> None:
    step = state.steps[e.path]
    if e.verdict == "retry":
        step.fired = True
    elif e.verdict == "done":
        step.answer = (e.output, None)
    else:
        step.answer = (None, ev.Error("step.unknown_outcome", "the step was looked up and had failed", e.path, step.attempt))
    state.look_at(step)


def _event_received(state: RunState, e: ev.EventReceived) -> None:
    step = state.steps[e.path]
    state.taken.add(e.event["id"])
    step.answer = (e.event, None)
    state.look_at(step)


def _approval_given(state: RunState, e: ev.ApprovalGiven) -> None:
    step = state.steps[e.path]
    answer = {"approved": e.approved, "by": e.by, "comment": e.comment, "data": e.data, "at": rfc3339(e.at)}
    said = f": {e.comment}" if e.comment else ""
    error = None if e.approved else ev.Error("approval.rejected", f"rejected by {e.by}{said}", data=answer)
    step.answer = (answer, error)
    state.look_at(step)


def _step_keyed(state: RunState, e: ev.StepKeyed) -> None:
    step = state.steps[e.path]
    _go_live(step, e.at)
    step.status = lifecycle.next_step_status(e.path, step.status, "StepKeyed")
    step.fired = False
    step.key = state.lookups[e.path] = e.key


def _result_found(state: RunState, e: ev.ResultFound) -> None:
    step = state.steps[e.path]
    step.answer, step.source = (e.output, None), e.source
    state.look_at(step)


def _result_missing(state: RunState, e: ev.ResultMissing) -> None:
    """It is pending again, at the head of its list; `key` says that this time it runs."""
    step = state.steps[e.path]
    step.status = lifecycle.next_step_status(e.path, step.status, "ResultMissing")
    del state.lookups[e.path]
    del step.frame.live[step.node.index]
    step.frame.ready.appendleft(step.node.index)
    state.look_at(step.frame)


def _timer_fired(state: RunState, e: ev.TimerFired) -> None:
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
        step.fired = True
    state.look_at(step)


def _child_finished(state: RunState, e: ev.ChildFinished) -> None:
    step = state.steps[e.path]
    state.children.pop(e.path, None)
    if e.usage is not None and step.node.kind == "skill":
        _add_usage(state, step, ev.less_usage(e.usage, state.children_usage.get(e.run_id)))  # a resumed child ends again
        state.children_usage[e.run_id] = e.usage
    error = e.error
    if e.status == "not_found":
        error = ev.Error("input.invalid", f"there is no run {e.run_id}")
    elif getattr(step.node.step.action, "detach", False):
        step.answer = ({"run_id": e.run_id}, None)
        state.look_at(step)
        return
    elif e.status != "succeeded":
        said = f": {error.message}" if error is not None else ""
        data = {"run_id": e.run_id, "error": error.to_json() if error is not None else None}
        error = ev.Error("skill.failed", f"run {e.run_id} {e.status}{said}", data=data)
    step.answer = (e.output, error)
    state.look_at(step)


def _add_usage(state: RunState, step: StepState, usage: ev.Usage | None) -> None:
    if usage is not None:
        step.usage = ev.add_usage(step.usage, usage)
        state.usage = ev.add_usage(state.usage, usage)


def _let_go(state: RunState, step: StepState) -> None:
    """Nothing of this attempt is awaited any more."""
    path = step.path
    state.executing.pop(path, None)
    state.children.pop(path, None)
    if state.reserved:
        state.reserved.pop(path, None)
    if state.timers:
        for timer in ("timeout", "retry", "wait", "pause"):
            state.timers.pop((path, timer), None)
    if state.unknown or state.subscriptions or state.approvals or state.lookups:
        waits: tuple[dict[str, Any], ...] = (state.unknown, state.subscriptions, state.approvals, state.lookups)
        for waiting in waits:
            if waiting.pop(path, None) is not None:
                state.forgotten.append(path)
    for frame in list(step.frames.values()):
        close_frame(state, frame)


def _end(state: RunState, step: StepState, status: str, at: float) -> None:
    """The step is over: tell those that need it, or that its list has failed."""
    _let_go(state, step)
    frame, index = step.frame, step.node.index
    step.status, step.finished_at, step.stopping, step.halted = status, at, False, None
    if step.node.kind == "task" and status != "unknown":
        step.input = None  # the journal has it
    frame.live.pop(index, None)
    frame.left -= 1
    state.steps_done += 1
    if status in lifecycle.WELL or (status == "failed" and step.node.step.continue_on_error):
        for dependent in frame.block.dependents[index]:
            frame.waiting[dependent] -= 1
            if frame.waiting[dependent] == 0 and frame.steps[dependent].status == "pending":  # else a resume has kept it
                frame.ready.append(dependent)
    elif status == "failed" and frame.failure is None:
        frame.failure = step.error
    state.look_at(frame)


_APPLY: dict[type, Callable[[RunState, Any], None]] = {
    ev.RunCreated: _run_created,
    ev.RunStarted: _run_started,
    ev.RunRecovered: _run_recovered,
    ev.RunResumed: _run_resumed,
    ev.CancelRequested: _cancel_requested,
    ev.Settled: _settled,
    ev.RunFinished: _run_finished,
    ev.BlockStarted: _block_started,
    ev.BlockFinished: _block_finished,
    ev.StepStarted: _step_started,
    ev.StepSucceeded: _step_succeeded,
    ev.AttemptFailed: _attempt_failed,
    ev.RetryScheduled: _retry_scheduled,
    ev.StepFailed: _step_failed,
    ev.StepSkipped: _step_skipped,
    ev.StepCancelled: _step_cancelled,
    ev.TimerFired: _timer_fired,
    ev.ChildFinished: _child_finished,
    ev.OutcomeUnknown: _outcome_unknown,
    ev.StepResolved: _step_resolved,
    ev.EventReceived: _event_received,
    ev.ApprovalGiven: _approval_given,
    ev.StepKeyed: _step_keyed,
    ev.ResultFound: _result_found,
    ev.ResultMissing: _result_missing,
}
