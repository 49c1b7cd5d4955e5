"""Drop what a run under way no longer needs, so that a loop of a hundred thousand iterations takes the memory of one."""

from __future__ import annotations

from itertools import islice

from agentctl.core.state import Frame, RunState

MOST_EVENT_IDS = 1_000


def forget(state: RunState) -> None:
    """Drop the steps inside items and iterations that succeeded; their outputs are with the foreach or repeat already.

    No decision looks at them again, except a resume, which may open any of them (`--from`): a finished run drops nothing, and
    RunResumed has to be decided on a state that was folded from the whole journal. A list that leaves traces (see `graph.Block`)
    is kept.
    The ids of the latest events that waits took are kept: the driver that offers events knows all of them.
    To be called between decisions, when nothing of the last one is to be performed any more.
    """
    if state.phase == "finished":
        return
    for event_id in list(islice(state.consumed_event_ids, max(0, len(state.consumed_event_ids) - MOST_EVENT_IDS))):
        del state.consumed_event_ids[event_id]
    if not state.ended:
        return
    owners = {}
    for frame in state.ended:
        _drop(state, frame)
        owner = frame.owner
        assert owner is not None
        owner.frame.below.pop(frame.key, None)
        owners[owner.path] = owner
    gone = {id(frame) for frame in state.ended}
    for owner in owners.values():
        owner.bodies = [body for body in owner.bodies if id(body) not in gone]
    state.ended.clear()


def _drop(state: RunState, frame: Frame) -> None:
    for step in frame.steps:
        state.steps.pop(step.path, None)
        if step.child is not None:
            state.children_usage.pop(step.child, None)
        node = step.node
        if node.body is not None or node.fallback is not None or node.probe is not None:
            for base in (step.path, f"{step.path}.fallback", f"{step.path}.probe"):
                state.rounds.pop(base, None)
    for inner in frame.below.values():
        _drop(state, inner)
