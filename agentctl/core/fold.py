"""One event into the state. Evaluates nothing, decides nothing: what a decision needs is put on `RunState.due`.

`apply` trusts its caller (`interpreter`) that an external event is not stale; what the tables of `lifecycle` do not know raises.
This file holds the events of the run as a whole; `fold_blocks` those of lists, `fold_attempts` the life of a step, `fold_answers`
what comes from timers, other runs, people and recorded results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.core import events as ev
from agentctl.core import lifecycle
from agentctl.core.fold_answers import (
    approval_given,
    child_finished,
    event_received,
    outcome_unknown,
    result_found,
    result_missing,
    signature_asked,
    step_keyed,
    step_resolved,
    timer_fired,
)
from agentctl.core.fold_attempts import (
    attempt_failed,
    attempt_lost,
    attempt_withdrawn,
    halt,
    lose_attempt,
    retry_scheduled,
    step_cancelled,
    step_failed,
    step_skipped,
    step_started,
    step_succeeded,
)
from agentctl.core.fold_blocks import block_finished, block_started
from agentctl.core.frames import close_frame, open_frame
from agentctl.core.reopen import move_to, reopen_run
from agentctl.core.state import Frame, RunState
from agentctl.model import HANDLERS


def apply(state: RunState, event: ev.AnyEvent) -> None:
    """Fold one event in. Raises IllegalTransition for what can never follow the events before it."""
    _APPLY[type(event)](state, event)
    state.head += 1
    state.at = event.at


def _run_created(state: RunState, e: ev.RunCreated) -> None:
    lifecycle.move_run(state, "RunCreated")
    state.run_id, state.name, state.version, state.replay_version = e.run_id, e.name, e.version, e.replay_version
    state.plan = state.plan_of(e.version)
    state.input, state.trigger, state.event, state.parent = e.input, e.trigger, e.event, e.parent
    state.permissions = e.permissions
    state.vars, state.accounts, state.problem, state.event_depth = e.vars, e.accounts, e.problem, e.event_depth
    state.created_at, state.scheduled_at = e.at, e.scheduled_at


def _run_started(state: RunState, e: ev.RunStarted) -> None:
    lifecycle.move_run(state, "RunStarted")
    state.started_at = e.at
    state.memory = e.state
    state.attempt = 1
    _set_run_timer(state, e.at)
    _look_at_problem(state)
    state.root = Frame("", state.plan.root, "main")
    open_frame(state, state.root)


def _look_at_problem(state: RunState) -> None:
    """Before any step: a run that was made with a problem fails, and begins none."""
    if state.problem is not None:
        state.look_at(state)


def _set_run_timer(state: RunState, at: float) -> None:
    if state.plan.definition.timeout is not None:
        state.set_timer("", "run", at + state.plan.definition.timeout)


def _run_recovered(state: RunState, e: ev.RunRecovered) -> None:
    lifecycle.move_run(state, "RunRecovered")
    state.lost_tokens += sum(state.reserved.values())
    for step in list(state.executing.values()):
        lose_attempt(state, step)


def _run_resumed(state: RunState, e: ev.RunResumed) -> None:
    lifecycle.move_run(state, "RunResumed")
    state.attempt += 1
    state.outcome = state.output = state.error = state.finished_at = state.cancel = None
    state.expired = state.ended_before = False
    if e.version is not None:
        move_to(state, state.plan_of(e.version), e.version)
    if e.vars is not None:
        state.vars = e.vars
    if e.state is not None:
        state.memory = e.state
    if state.started_at is None:
        state.started_at = e.at
    _set_run_timer(state, e.at)
    _look_at_problem(state)
    reopen_run(state, set(e.redo), e.at)


def _cancel_requested(state: RunState, e: ev.CancelRequested) -> None:
    lifecycle.move_run(state, "CancelRequested")
    state.cancel = e.reason or ""
    state.look_at(state)


def _settled(state: RunState, e: ev.Settled) -> None:
    was_started = state.root is not None
    lifecycle.move_run(state, "Settled")
    state.outcome, state.output, state.error = e.status, e.output, e.error
    state.timers.pop(("", "run"), None)
    first = {"succeeded": "on_success", "failed": "on_failure", "cancelled": "on_cancel"}[e.status]
    state.pending_handlers = [name for name in (first, HANDLERS[-1]) if name in state.plan.handlers and was_started]
    if state.root is not None and state.root.live:
        halt(state, state.root)
    elif state.root is not None:
        close_frame(state, state.root)
    state.look_at(state)


def _run_finished(state: RunState, e: ev.RunFinished) -> None:
    lifecycle.move_run(state, "RunFinished")
    state.finished_at = e.at
    state.timers.clear()


_APPLY: dict[type, Callable[[RunState, Any], None]] = {
    ev.RunCreated: _run_created,
    ev.RunStarted: _run_started,
    ev.RunRecovered: _run_recovered,
    ev.RunResumed: _run_resumed,
    ev.CancelRequested: _cancel_requested,
    ev.Settled: _settled,
    ev.RunFinished: _run_finished,
    ev.BlockStarted: block_started,
    ev.BlockFinished: block_finished,
    ev.StepStarted: step_started,
    ev.StepSucceeded: step_succeeded,
    ev.AttemptFailed: attempt_failed,
    ev.AttemptWithdrawn: attempt_withdrawn,
    ev.AttemptLost: attempt_lost,
    ev.RetryScheduled: retry_scheduled,
    ev.StepFailed: step_failed,
    ev.StepSkipped: step_skipped,
    ev.StepCancelled: step_cancelled,
    ev.TimerFired: timer_fired,
    ev.ChildFinished: child_finished,
    ev.OutcomeUnknown: outcome_unknown,
    ev.StepResolved: step_resolved,
    ev.EventReceived: event_received,
    ev.ApprovalGiven: approval_given,
    ev.StepKeyed: step_keyed,
    ev.SignatureAsked: signature_asked,
    ev.ResultFound: result_found,
    ev.ResultMissing: result_missing,
}
