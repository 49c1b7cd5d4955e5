"""From a state to what a driver has to do: the commands that an event calls for, and those of a whole run that is taken over."""

from __future__ import annotations

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core import signatures
from agentctl.core.kinds.registry import kind_of
from agentctl.core.state import RunState, StepState
from agentctl.paths import repeated_step


def called_for(state: RunState, event: ev.AnyEvent) -> list[cmd.Command]:
    """What a driver has to do because of an event that has just been folded in. Long: one case for each event."""
    found: list[cmd.Command] = [cmd.CancelWait(path) for path in state.cancelled_waits]
    match event:  # the most frequent first: the cases are tried in their order
        case ev.StepStarted():
            found += launch(state, state.steps[event.path])
            found += _timers(state, event.path, ("timeout", "wait"))
        case ev.StepSucceeded():
            step = state.steps[event.path]
            if step.key is not None and step.source is None:
                recovered = event.status == "recovered"  # what a fallback put out is no result of the step itself
                found.append(give_back(step) if recovered else keep_result(step))
            if step.uses == "remember" and event.attempt:
                found.append(cmd.Remember(event.path, event.output))
            if step.node.kind == "return" and state.phase == "settled":  # in a handler; else Settled follows and stops them
                found += _stops(state)
        case ev.AttemptLost():
            if event.path in state.executing:
                found += launch(state, state.steps[event.path])
        case ev.RetryScheduled():
            found += _timers(state, event.path, ("retry",))
        case ev.BlockFinished():
            found += _timers(state, repeated_step(event.path), ("pause",))
        case ev.RunStarted() | ev.RunResumed():
            found += all_timers(state)
        case ev.SignatureAsked():
            found += launch(state, state.steps[event.path])
            found += _timers(state, event.path, ("wait",))
        case ev.StepKeyed():
            found.append(find_result(state.steps[event.path]))
        case ev.StepFailed() | ev.StepCancelled():
            step = state.steps[event.path]
            if step.key is not None and step.status != "unknown":  # a doubt keeps its claim
                found.append(give_back(step))
        case ev.ResultMissing():
            step = state.steps[event.path]
            if step.frame.failure is not None or step.frame.is_halted():  # it will not start: its list has failed meanwhile
                found.append(give_back(step))
        case ev.Settled() | ev.TimerFired(timer="timeout"):
            found += _stops(state)
        case ev.RunFinished():
            found.append(cmd.Finish(event.status, event.output, event.error))
    return found


def _timers(state: RunState, path: str, names: tuple[str, ...]) -> list[cmd.Command]:
    """Those of the step that are set."""
    if not state.timers:
        return []
    due = [(name, state.timers.get((path, name))) for name in names]
    return [cmd.SetTimer(path, name, at) for name, at in due if at is not None]


def open_commands(state: RunState) -> list[cmd.Command]:
    """Everything a driver has to do for the run, as if it had done nothing yet."""
    if state.phase == "finished":
        assert state.outcome is not None
        return [cmd.Finish(state.outcome, state.output, state.error)]
    found: list[cmd.Command] = []
    for path in [*state.executing, *state.children, *state.subscriptions, *state.approvals, *state.lookups]:
        step = state.steps[path]
        if not (step.stopping and path in state.executing):  # an attempt whose process is gone is not made to be stopped
            found += launch(state, step)
        if step.stopping:
            found += stop(state, step)
    found += [ask(step) for step in state.unknown.values() if not step.frames]
    return found + all_timers(state)


def all_timers(state: RunState) -> list[cmd.Command]:
    return [cmd.SetTimer(path, timer, due) for (path, timer), due in state.timers.items()]


def launch(state: RunState, step: StepState) -> list[cmd.Command]:
    """Return what makes a driver start what `step` waits for. Timers are not part of it."""
    if step.path in state.lookups:
        return [find_result(step)]
    if signatures.is_waited_for(state, step):
        return [cmd.AwaitPerson(step.path, "approval", state.approvals[step.path], step.input)]
    return kind_of(step).commands(state, step)


def _stops(state: RunState) -> list[cmd.Command]:
    """Of everything that is to be stopped."""
    stopping = [state.steps[path] for path in [*state.executing, *state.children] if state.steps[path].stopping]
    return [command for step in stopping for command in stop(state, step)]


def stop(state: RunState, step: StepState) -> list[cmd.Command]:
    """Return what ends the attempt that `step` is in; a wait needs nothing."""
    if step.path in state.executing:
        return [cmd.Stop(step.path, step.attempt)]
    if step.path in state.children and kind_of(step).has_child_run and not getattr(step.node.step.action, "detach", False):
        return [cmd.CancelChild(step.path, state.children[step.path])]
    return []


def ask(step: StepState) -> cmd.AwaitPerson:
    """Somebody has to look up how a step of unknown outcome ended."""
    assert step.error is not None
    return cmd.AwaitPerson(step.path, "unknown", "", {"error": step.error.to_json()})


def find_result(step: StepState) -> cmd.LookupResult:
    assert step.key is not None
    cache = step.node.step.cache
    return cmd.LookupResult(step.path, place_in_definition(step), step.key, cache.ttl if cache is not None else None)


def keep_result(step: StepState) -> cmd.StoreResult:
    assert step.key is not None
    cache = step.node.step.cache
    return cmd.StoreResult(step.claim, place_in_definition(step), step.key, step.output, ttl=None if cache is None else cache.ttl)


def give_back(step: StepState) -> cmd.ReleaseClaim:
    assert step.key is not None
    return cmd.ReleaseClaim(step.claim, place_in_definition(step), step.key)


def withdrawals(undone: StepState) -> list[cmd.InvalidateResult]:
    """The results that its undo has made untrue: those that the step, the steps in it and those that hold it recorded."""
    found = _recorded_within(undone)
    holder = undone.frame.owner
    while holder is not None:
        found += _recorded(holder)
        holder = holder.frame.owner
    return found


def _recorded_within(step: StepState) -> list[cmd.InvalidateResult]:
    found = _recorded(step)
    for body in step.bodies:
        for inner in body.steps:
            found += _recorded_within(inner)
    return found


def _recorded(step: StepState) -> list[cmd.InvalidateResult]:
    if step.key is None or step.source is not None:
        return []
    return [cmd.InvalidateResult(step.claim, place_in_definition(step), step.key)]


def place_in_definition(step: StepState) -> str:
    """The ids from the run's own list down to the step: where it stands in the definition, whichever item or round it is of."""
    ids: list[str] = []
    inner: StepState | None = step
    while inner is not None:
        ids.append(inner.node.step.id if inner.call is None else f"tool.{inner.call.name}")
        inner = inner.frame.owner
    return ".".join(reversed(ids))
