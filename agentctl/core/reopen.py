"""Fold of a resume: what failed, was cancelled or never ran is pending again, what finished keeps its result.

A container whose inside has to run again is opened where it stood (same paths), so that its finished steps do not run again.
Dropped with all that is below it: a step named in `redo`, and one whose undo has run, for its effect is gone.
"""

from __future__ import annotations

from agentctl.core import lifecycle, tool_calls
from agentctl.core.frames import open_frame
from agentctl.core.graph import Block, Plan
from agentctl.core.lifecycle import WELL
from agentctl.core.state import Frame, RunState, StepState
from agentctl.model import Foreach
from agentctl.paths import without_rounds


def is_kept(step: StepState) -> bool:
    """True when the step has a result that a resume hands on."""
    return step.status in WELL or (step.status == "failed" and step.node.step.continue_on_error)


def reopen_run(state: RunState, redo: set[str], at: float) -> None:
    """Put the run's own list back to work. `redo`: paths of steps whose results are dropped."""
    state.frames.clear()
    if redo:
        state.ended.clear()  # some of them may be opened again; without `redo` only lists that did not succeed are
    state.executing.clear()
    state.children.clear()
    if state.root is None:  # cancelled in the queue
        state.root = Frame("", state.plan.root, "main")
        open_frame(state, state.root)
        return
    _reopen_frame(state, state.root, redo, at)
    state.undoable = [step for step in (*reversed(state.failed_undos), *state.undoable) if is_kept(step)]
    state.failed_undos.clear()


def _reopen_frame(state: RunState, frame: Frame, redo: set[str], at: float) -> None:
    state.frames[frame.key] = frame
    if frame.owner is not None:
        frame.owner.frames[frame.key] = frame
    frame.closed = frame.halted = frame.ended_well = False
    frame.returned = None
    frame.scope = None  # `run.attempt` and `vars` have changed
    continuing = {step.node.step.id for step in frame.steps if _continues(step, redo)}
    for step in frame.steps:
        state.steps[step.path] = step
        if step.node.step.id not in continuing:
            _reopen_step(state, step, redo)
    for step in frame.steps:
        if step.node.step.id in continuing:
            needs = [frame.steps[frame.block.index[need]] for need in step.node.step.needs]
            waits = any(need.node.step.id in continuing or not is_kept(need) for need in needs)
            _keep_round(state, step, redo)
            if not waits and not _has_key(step):  # its claim was given back when it ended: it asks for the key again
                continue_round(state, step, at)
    frame.restart()
    state.look_at(frame)


def _has_key(step: StepState) -> bool:
    return step.node.step.idempotency_key is not None or step.node.step.cache is not None


def _continues(step: StepState, redo: set[str]) -> bool:
    """Whether a container is opened where it stood: it did not end, or something in it has to run again."""
    if step.path in redo or step.undone or step.status == "unknown" or not step.bodies:
        return False
    if is_kept(step):
        return _holds_dropped(step, redo)
    return step.status != "not_run" or step.resumed_from is not None


def _reopen_step(state: RunState, step: StepState, redo: set[str]) -> None:
    if step.path in redo or step.undone:
        step.child = None  # a new run of the skill, not the old one's result
        state.once.pop(without_rounds(step.path), None)
        state.doubts.pop(tool_calls.identity(step), None)
    elif step.status == "unknown":
        step.finished_at, step.answer, step.timer_fired = None, None, False
        state.unknown[step.path] = step
        state.steps_done -= 1
        state.look_at(step)
        return
    elif is_kept(step):
        return
    elif step.status == "failed":
        state.doubts.pop(tool_calls.identity(step), None)  # `on_unknown: fail`: a resume asks for it to execute again
    if step.status not in ("pending", "not_run"):
        state.steps_done -= 1
    step.reset()


def _holds_dropped(step: StepState, redo: set[str]) -> bool:
    """True when a step somewhere below has to run again although this one succeeded."""
    return any(_is_stale(frame, redo) for frame in step.bodies)


def _is_stale(frame: Frame, redo: set[str]) -> bool:
    return any(step.path in redo or step.undone or _holds_dropped(step, redo) for step in frame.steps)


_KEPT = ("started_at", "input", "outputs", "last", "iteration", "bodies", "agent", "secrets", "usage")
# Failures after which a resumed agent gets its turns again.
_USED_UP = ("agent.max_turns", "agent.stalled")


def _keep_round(state: RunState, step: StepState, redo: set[str]) -> None:
    """Keep the last round of a container until what it needs, and what was undone or dropped of that, has run again."""
    held = step.resumed_from or {name: getattr(step, name) for name in _KEPT}
    if step.agent is not None and step.error is not None and step.error.type in _USED_UP:
        step.agent.granted = len(step.agent.turns)
    if step.status not in ("pending", "not_run"):
        state.steps_done -= 1
    step.reset()
    step.resumed_from, step.redo, step.bodies = held, redo, held["bodies"]


def continue_round(state: RunState, step: StepState, at: float) -> None:
    """Continue the last round of a container: lists that failed or were cut short open again, those that succeeded are kept."""
    assert step.resumed_from is not None
    for name, value in step.resumed_from.items():
        setattr(step, name, value)
    step.resumed_from, redo = None, step.redo
    lifecycle.move(step, "Reopened")
    step.attempt, step.begun = 1, True
    if step.node.step.timeout is not None:
        state.set_timer(step.path, "timeout", at + step.node.step.timeout)
    if step.agent is not None:
        _drop_turns(state, step, redo)
    step.waiting_items = [frame for frame in step.bodies if not frame.ended_well or _is_stale(frame, redo)]
    if step.node.kind == "foreach":
        open_items(state, step, at)
    else:
        for frame in step.waiting_items:
            _reopen_frame(state, frame, redo, at)
        step.waiting_items = []
    step.timer_fired = not step.frames  # a repeat whose last iteration succeeded continues with the next
    state.look_at(step)


def _drop_turns(state: RunState, step: StepState, redo: set[str]) -> None:
    """Take out of an agent's conversation what a resume drops: the first turn that is stale, and all after it.

    A turn of which only a call is stale stays, and so do its other calls. What dropped `effect: once` calls did is there for the
    same calls of later turns.
    """
    talk = step.agent
    assert talk is not None
    kept = len(talk.turns)
    for number, turn in enumerate(talk.turns):
        if turn.step.path in redo:
            kept = number
            break
        if turn.calls_frame is not None and _is_stale(turn.calls_frame, redo):
            kept = number + 1
            break
    if kept < len(talk.turns):
        step.bodies = [body for body in step.bodies if body.role != "compact" or body.ended_well]
        talk.shortened = min(talk.shortened, max(0, kept - 1))
        if talk.summarized > talk.shortened:
            talk.summary, talk.summarized = None, 0
    for turn in talk.turns[kept:]:
        for frame in filter(None, (turn.frame, turn.calls_frame)):
            _drop_frame(state, step, frame)
    del talk.turns[kept:]
    for turn in talk.turns[-1:]:
        for call in turn.calls.values():
            if call.path in redo:
                tool_calls.drop(state, call)
    del talk.said[max(0, len(talk.turns) - 1) :]
    talk.granted = min(talk.granted, len(talk.turns))
    talk.counted_from, talk.invalid = len(talk.turns), 0
    for frame in step.bodies:  # all but the last are over
        frame.ended_well = all(map(is_kept, frame.steps))


def _drop_frame(state: RunState, owner: StepState, frame: Frame) -> None:
    owner.bodies = [body for body in owner.bodies if body is not frame]
    owner.frame.below.pop(frame.key, None)
    state.steps_total -= len(frame.steps)
    for step in frame.steps:
        state.steps.pop(step.path, None)
        state.steps_done -= step.finished_at is not None
        state.undoable = [other for other in state.undoable if other is not step]
        if step.call is not None:
            tool_calls.drop(state, step)


def open_items(state: RunState, step: StepState, at: float) -> None:
    """Open as many items of a foreach as may run at once: first those that a resume found unfinished, then new ones."""
    action = step.node.step.action
    assert isinstance(action, Foreach)
    assert step.node.body is not None
    items, base = step.input["items"], step.input["key"]
    while step.waiting_items and len(step.frames) < action.max_parallel and step.failure is None:
        _reopen_frame(state, step.waiting_items.pop(0), step.redo, at)
    while len(step.frames) < action.max_parallel and step.iteration < len(items) and step.failure is None:
        i = step.iteration
        step.iteration += 1
        last = step.outputs[i - 1] if i else None
        names = {action.item_name: items[i], "index": i, "last": last}
        open_frame(state, Frame(f"{base}[{i}]", step.node.body, "item", owner=step, outer=step.frame, index=i, vars=names))


def move_to(state: RunState, plan: Plan, version: str) -> None:
    """Continue with another version of the definition: results are taken over by path, for steps that are still there.

    The caller has made sure that no finished step has changed (`resume.conflicts`).
    """
    state.plan, state.version = plan, version
    state.ended.clear()  # these lists are of the definition before
    if state.root is not None:
        state.root = _moved(state, state.root, plan.root, None, None)


def _moved(state: RunState, old: Frame, block: Block, owner: StepState | None, outer: Frame | None) -> Frame:
    new = Frame(old.key, block, old.role, owner=owner, outer=outer, prefix=old.prefix, index=old.index, vars=old.vars)
    new.ended_well = old.ended_well
    state.steps_total += len(new.steps) - len(old.steps)
    by_id = {step.node.step.id: step for step in old.steps}
    for i, node in enumerate(block.nodes):
        step = by_id.get(node.step.id)
        if step is None or step.node.kind != node.kind:
            continue
        step.node, step.frame, new.steps[i] = node, new, step
        if step.agent is not None:  # its lists are made while it runs, and it has not changed
            for body in step.bodies:
                body.outer = new
            continue
        step.bodies = [_moved(state, body, node.body, step, new) for body in step.bodies] if node.body is not None else []
    return new
