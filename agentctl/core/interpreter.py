"""The interpreter: what happened in, what to do next out. No clock, no randomness, no I/O, no `await`.

`decide` folds an external event into the state, then works off what the fold left to decide (`RunState.due`): each decision
is an event of its own, folded at once, so that the journal alone rebuilds the state. Looking at something that calls for no
decision does nothing, which makes every prefix of a journal a place to go on from. The cost of an event is that of what it
touches: the step, its list, those that wait for it.
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
    """`events`: for one commit of the journal, the cause first.  `commands`: to perform after that commit."""

    events: list[ev.AnyEvent]
    commands: list[cmd.Command]


def fold(journal: Iterable[ev.AnyEvent], plan_of: Callable[[str], Plan], secret_names: frozenset[str] = frozenset()) -> RunState:
    """The state that a journal adds up to. `plan_of(version)`: the plan of a definition by its content hash."""
    state = RunState(plan_of, secret_names)
    for event in journal:
        apply(state, event)
    return state


def decide(state: RunState, event: ev.AnyEvent, now: float | None = None) -> Decision:
    """Take in what happened outside; say what to journal and what to do. Changes `state`, which the caller owns.

    `now`: for what happened earlier than it is taken in (an answer given while nobody drove the run). What follows from it is
    of now: a deadline that is measured from an answer of yesterday would be over before its step began.
    An event that has nothing to say any more (a duplicate, a late answer, a timer no longer set) gives an empty decision.
    """
    if not _is_current(state, event):
        return Decision([], [])
    if isinstance(event, ev.EventOffered):
        if not _is_wanted(state, event):
            return Decision([], [])
        event = ev.EventReceived(at=max(event.at, now or 0.0), path=event.path, event=event.event)
    run = Transition(state, max(event.at, now or 0.0), _take_in)
    run.emit(event)
    _work_off(run)
    return Decision(run.events, run.commands)


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


def take_over(state: RunState, at: float, memory: dict[str, Any] | None = None) -> Decision:
    """Go on with a run that somebody else drove, or nobody yet: its commands are everything that is still open.

    `memory`: the durable values of its name as they are now, which a run that starts here sees as `state.*`.
    """
    run = Transition(state, at, _take_in)
    if state.phase == "queued" and state.cancel is None:
        run.emit(ev.RunStarted(at=at, state=memory or {}))
    elif state.executing:
        run.emit(ev.RunRecovered(at=at))
        _refuse_calls(run)
    state.cancelled_waits.clear()  # whoever decided it said so
    run.commands = open_commands(state)
    _work_off(run)
    return Decision(run.events, run.commands)


def _refuse_calls(run: Transition) -> None:
    """Calls of models that were cut off count as spent, so what is left may not do for making all of them again."""
    state = run.state
    for path in list(state.reserved):
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
        case ev.AttemptWithdrawn():
            step = state.executing.get(event.path)
            return step is not None and event.attempt == step.attempt and not step.stopping
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
            return event.path in state.subscriptions and not (event.kept and event.event["id"] in state.consumed_event_ids)
        case ev.ApprovalGiven():
            return state.approvals.get(event.path) == event.digest
        case ev.StepResolved():
            return event.path in state.unknown and not state.unknown[event.path].frames
        case ev.ResultFound() | ev.ResultMissing():
            return event.path in state.lookups
        case _:
            return isinstance(event, ev.RunCreated) and state.phase == "new"


def _is_wanted(state: RunState, offer: ev.EventOffered) -> bool:
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
