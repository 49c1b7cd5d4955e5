"""The interpreter: what happened in, what to do next out. No clock, no randomness, no I/O, no `await`.

`decide` folds an external event into the state, then works off what the fold left to decide (`RunState.due`): each decision
is an event of its own, folded at once, so that the journal alone rebuilds the state. Looking at something that calls for no
decision does nothing, so a run can continue from every prefix of its journal. The cost of an event is that of what it
touches: the step, its list, the steps that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from agentctl.core import blocks, budget, dispatch, ending, steps
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.dispatch import open_commands
from agentctl.core.eviction import forget
from agentctl.core.fold import apply
from agentctl.core.graph import Plan
from agentctl.core.scope import Scope, scope_of
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.transition import Transition
from agentctl.errors import ExpressionError
from agentctl.model import Wait

__all__ = ["Decision", "decide", "fold", "forget", "hold", "open_commands", "take_over"]


class Decision(msgspec.Struct, frozen=True):
    """What came of an event.

    `events`: for one commit of the journal.
    `commands`: to perform after that commit.
    `accepted`: the event counted; false for a duplicate, a late answer, or what a deadline before it has decided.
    """

    events: list[ev.AnyEvent]
    commands: list[cmd.Command]
    accepted: bool = True


def fold(
    journal: Iterable[ev.AnyEvent],
    plan_of: Callable[[str], Plan],
    secret_names: frozenset[str] = frozenset(),
    *,
    state: RunState | None = None,
) -> RunState:
    """Return the state that a journal adds up to.

    `plan_of(version)`: the plan of a definition by its content hash.
    `state`: what the events before `journal` add up to, restored from a snapshot.
    """
    state = state if state is not None else RunState(plan_of, secret_names)
    for event in journal:
        apply(state, event)
    state.cancelled_waits.clear()  # those who decided it have reported it
    return state


def decide(state: RunState, event: ev.AnyEvent, now: float | None = None, *, more: bool = False) -> Decision:
    """Take in what happened outside; say what to journal and what to do. Changes `state`, which the caller owns.

    `now`: for what happened earlier than it is taken in (an answer given while nobody drove the run). What follows from it is
    of now: a deadline that is measured from an answer of yesterday would be over before its step began.
    `more`: further events follow that happened by `now`. Nothing starts before the last of them, which has `more` false.

    What was due is decided in the order of time: timers up to `event.at` fire before the event, the others up to `now` fire after
    the last event and before anything starts. So a late answer finds its wait decided, and an overdue run starts nothing.
    """
    run = Transition(state, max(event.at, now or 0.0), _take_in)
    due = state.next_due
    if more or (due is not None and due <= run.at):
        state.is_catching_up = True
    if state.is_catching_up:
        _fire_due(run, event.at)
    taken = _as_taken(state, event, run.at)
    if taken is not None:
        run.emit(taken)
        if isinstance(taken, ev.AttemptLost):
            _refuse_calls(run, [taken.path])
        _work_off(run)
    if state.is_catching_up and not more:
        _catch_up(run)
    return Decision(run.events, run.commands, taken is not None)


def _as_taken(state: RunState, event: ev.AnyEvent, at: float) -> ev.AnyEvent | None:
    """Return the event as it is journaled; None when it has nothing to say any more."""
    if not _is_current(state, event):
        return None
    if isinstance(event, ev.EventOffered):
        return ev.EventReceived(at=at, path=event.path, event=event.event) if is_wanted(state, event) else None
    if isinstance(event, ev.RunResumed):  # its deadlines count from when it continues, not from when somebody asked for it
        return msgspec.structs.replace(event, at=at)
    return event


def _fire_due(run: Transition, until: float) -> None:
    """Fire the timers that are due by `until`, the earliest first."""
    state = run.state
    while (due := state.next_due) is not None and due <= until:
        path, timer = state.next_timer
        run.emit(ev.TimerFired(at=run.at, path=path, timer=timer))
        _work_off(run)


def _catch_up(run: Transition) -> None:
    """Decide what is due by now, then let start what was put off."""
    state = run.state
    _fire_due(run, run.at)
    state.is_catching_up = False
    if state.is_taken_over:
        state.is_taken_over = False
        run.commands += open_commands(state)
    postponed, state.postponed = state.postponed, []
    for item in postponed:
        state.look_at(item)
    _work_off(run)


def _take_in(state: RunState, event: ev.AnyEvent) -> list[cmd.Command]:
    """Fold an event in; return the commands that it calls for."""
    apply(state, event)
    commands = dispatch.called_for(state, event)
    state.cancelled_waits.clear()
    return commands


def _work_off(run: Transition) -> None:
    """Look at everything that the fold marked, until nothing is left to decide."""
    due = run.state.due
    while due:
        item = due.popleft()
        item.queued = False
        if isinstance(item, Frame):
            blocks.look_at_frame(run, item)
        elif isinstance(item, StepState):
            steps.look_at_step(run, item)
        else:
            ending.look_at_run(run)


def hold(state: RunState) -> None:
    """From now on `decide` takes in what happens and starts nothing new, be it an attempt, a wait or a child.

    What it did not start it starts once the run is taken over; `state.held_back` says whether there is any such thing.
    """
    state.on_hold = True


def take_over(
    state: RunState, at: float, memory: dict[str, Any] | None = None, *, more: bool = False
) -> Decision:
    """Continue a run that somebody else drove, or nobody yet: its commands are everything that is still open.

    `memory`: the durable values of its name as they are now, which a run that starts here sees as `state.*`.
    `more`: as in `decide`. The open commands come with the last event, after all that was due is decided.
    """
    run = Transition(state, at, _take_in)
    state.is_catching_up = state.is_taken_over = True
    if state.phase == "queued" and state.cancel is None:
        run.emit(ev.RunStarted(at=at, state=memory or {}))
    elif state.executing:
        run.emit(ev.RunRecovered(at=at))
        _refuse_calls(run, list(state.reserved))
    _work_off(run)
    if not more:
        _catch_up(run)
    return Decision(run.events, run.commands)


def _refuse_calls(run: Transition, paths: Iterable[str]) -> None:
    """Calls of models that were cut off count as spent, so what is left may not suffice for making all of them again."""
    state = run.state
    for path in paths:
        if path not in state.reserved:
            continue
        step = state.steps[path]
        refused = budget.refusal(state, path, step.input)
        if refused is not None:
            run.emit(ev.AttemptFailed(at=run.at, path=path, attempt=step.attempt, error=refused))


def _is_current(state: RunState, event: ev.AnyEvent) -> bool:
    """False for what a driver may deliver late or twice."""
    match event:  # the most frequent first: the cases are tried in their order
        case ev.StepSucceeded() | ev.AttemptFailed():
            step = state.steps.get(event.path)
            if step is None or event.attempt != step.attempt:
                return False
            awaited = event.path in state.executing
            return awaited or (isinstance(event, ev.AttemptFailed) and event.path in state.children)
        case ev.AttemptWithdrawn() | ev.AttemptLost():
            step = state.executing.get(event.path)
            return step is not None and event.attempt == step.attempt and (
                isinstance(event, ev.AttemptLost) or not step.stopping
            )
        case ev.RunStarted():
            return state.phase == "queued"
        case ev.RunRecovered():
            return state.phase in ("running", "settled")
        case ev.RunResumed():
            return state.phase == "finished"
        case ev.CancelRequested():
            return state.phase in ("queued", "running") and state.cancel is None
        case ev.TimerFired():
            due = state.timers.get((event.path, event.timer))
            return due is not None and due <= event.at
        case ev.ChildFinished():
            return state.children.get(event.path) == event.run_id
        case ev.EventOffered():
            return event.path in state.subscriptions and not (event.kept and _has_seen(state, event.event["id"]))
        case ev.ApprovalGiven():
            return state.approvals.get(event.path) == event.digest
        case ev.StepResolved():
            return _awaits_answer(state, event.path)
        case ev.ResultFound() | ev.ResultMissing():
            return event.path in state.lookups
        case _:
            return isinstance(event, ev.RunCreated) and state.phase == "new"


def _has_seen(state: RunState, event_id: str) -> bool:
    """Whether an event is not for a later wait: it started the run, or a wait of the run has taken it."""
    return event_id in state.consumed_event_ids or (isinstance(state.event, dict) and state.event.get("id") == event_id)


def _awaits_answer(state: RunState, path: str) -> bool:
    """Whether the outcome of a step is still to be looked up. A run that has ended takes the answer, too."""
    if state.phase == "finished":
        step = state.steps.get(path)
        return state.outcome != "succeeded" and step is not None and step.status == "unknown"
    return path in state.unknown and not state.unknown[path].frames


def is_wanted(state: RunState, offer: ev.EventOffered) -> bool:
    """What the wait's `if` says of the event. One that the expression cannot be evaluated on is another kind of event: not it."""
    step = state.steps[offer.path]
    action = step.node.step.action
    assert isinstance(action, Wait)
    if action.condition is None:
        return True
    scope = scope_of(state, step.frame)
    try:
        return bool(action.condition.evaluate(Scope(state, {**scope, "event": offer.event})))
    except ExpressionError:
        return False
