"""A state as bytes, so that a run with a long journal is loaded without folding it from its first event.

A snapshot is a cache: the journal is the run. A snapshot of another format is ignored, and so is the snapshot of a run that is
resumed, because a resume needs what `eviction` drops. To be taken between decisions.

Frames and steps refer to each other; a record holds numbers in their place. The number of a frame is its position in
`RunRecord.frame_records`, where a frame comes after those that hold it; a step is its frame's number and its place in the list.

The file is long because writing and reading a record have to agree, field by field.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import msgspec

from agentctl import JSON
from agentctl.core import lifecycle
from agentctl.core.events import Account, Error, Parent, Usage
from agentctl.core.graph import Block, Plan
from agentctl.core.state import Frame, RunState, StepState
from agentctl.paths import split_round

LEAST_EVENTS = 500  # of the journal since the last snapshot, before another one pays

StepNumber = tuple[int, int]  # of its frame, of the step in it


class RoundRecord(msgspec.Struct, frozen=True):
    """`StepState.resumed_from`."""

    started_at: float | None
    input: JSON
    outputs: list[JSON]
    last: JSON
    iteration: int
    bodies: list[int]


class StepRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `StepState`. Defaults are those of a step that has not begun; `claim` None: the path of the step."""

    status: str = "pending"
    attempt: int = 0
    launches: int = 0
    begun: bool = False
    input: JSON = None
    secrets: list[JSON] = []
    output: JSON = None
    error: Error | None = None
    started_at: float | None = None
    finished_at: float | None = None
    usage: Usage | None = None
    retry_after: float | None = None
    key: str | None = None
    claim: str | None = None
    source: str | None = None
    child: str | None = None
    probed: bool = False
    lost: bool = False
    timer_fired: bool = False
    answer: tuple[JSON, Error | None] | None = None
    stopping: bool = False
    halted: Error | None = None
    undone: bool = False
    outputs: list[JSON] = []
    iteration: int = 0
    last: JSON = None
    failure: Error | None = None
    redo: set[str] = set()
    frames: list[int] = []
    bodies: list[int] = []
    waiting_items: list[int] = []
    resumed_from: RoundRecord | None = None


class FrameRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `Frame`. `steps`: place in the list -> record, of steps that have begun."""

    key: str
    role: str
    prefix: str
    waiting: list[int]
    left: int
    owner: StepNumber | None = None
    outer: int | None = None
    index: int = 0
    vars: dict[str, JSON] = {}
    halted: bool = False
    returned: tuple[JSON] | None = None
    closed: bool = False
    ended_well: bool = False
    failure: Error | None = None
    live: list[int] = []
    ready: list[int] = []
    below: list[int] = []
    steps: dict[int, StepRecord] = {}


class RunRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A `RunState`. Names are those of its attributes, but for `frame_records`, `open_frames` and `timer_list`."""

    format: str
    replay_version: int
    run_id: str
    name: str
    version: str
    input: dict[str, JSON]
    trigger: str
    event: JSON
    event_depth: int
    parent: Parent | None
    vars: dict[str, JSON]
    accounts: list[Account]
    permissions: list[JSON]
    problem: Error | None
    scheduled_at: float | None
    created_at: float
    phase: str
    head: int
    at: float
    attempt: int
    memory: dict[str, JSON]
    remembered: dict[str, JSON]
    started_at: float | None
    finished_at: float | None
    steps_done: int
    steps_total: int
    cancel: str | None
    expired: bool
    outcome: str | None
    ended_before: bool
    output: JSON
    error: Error | None
    pending_handlers: list[str]
    rounds: dict[str, int]
    once: dict[str, JSON]
    children: dict[str, str]
    subscriptions: dict[str, str]
    consumed_event_ids: dict[str, None]
    approvals: dict[str, str]
    lookups: dict[str, str]
    usage: Usage | None
    reserved: dict[str, int]
    dearest: dict[str, float]
    lost_tokens: int
    children_usage: dict[str, Usage]
    timer_list: list[tuple[str, str, float]]
    frame_records: list[FrameRecord]
    open_frames: list[int]
    ended: list[int]
    root: int | None
    undoable: list[StepNumber]
    failed_undos: list[StepNumber]
    doubts: dict[str, StepNumber]
    executing: list[StepNumber]
    unknown: list[StepNumber]


_STEP_REFERENCES = {"frames", "bodies", "waiting_items", "resumed_from", "claim", "status"}
_STEP_COPIED = tuple(name for name in StepRecord.__struct_fields__ if name not in _STEP_REFERENCES)
_FRAME_COPIED = ("halted", "returned", "closed", "ended_well", "failure", "left")
_RUN_REFERENCES = {
    "format", "phase", "timer_list", "frame_records", "open_frames", "ended", "root", "undoable", "failed_undos", "doubts",
    "executing", "unknown",
}  # fmt: skip
_RUN_COPIED = tuple(name for name in RunRecord.__struct_fields__ if name not in _RUN_REFERENCES)
_NOT_BEGUN = StepRecord()

_FORMAT = sha256(
    repr([(kind.__name__, kind.__annotations__) for kind in (RoundRecord, StepRecord, FrameRecord, RunRecord)]).encode()
).hexdigest()[:16]
_decoder = msgspec.json.Decoder(RunRecord)


def is_worthwhile(events: int, size: int) -> bool:
    """Whether to take a snapshot: `events` were journaled since the last one, which had `size` bytes (0: there is none).

    The bytes of all snapshots together stay in proportion to those of the journal.
    """
    return events >= max(LEAST_EVENTS, size // 100)


# --- save --------------------------------------------------------------------------------------------------------------


def save(state: RunState) -> bytes | None:
    """Return the snapshot of a state; None when it has one that cannot be restored, so that its journal has to be folded."""
    if state.is_finished or state.root is None or state.once_calls:
        return None
    frames = list(_frames(state))
    numbers = {id(frame): number for number, frame in enumerate(frames)}
    if any(_block(state, frame) is not frame.block for frame in frames):
        return None  # of an earlier version of the definition, or made while it ran, as those of an agent are
    if any(state.steps.get(step.path) is not step for frame in frames for step in frame.steps):
        return None
    record = RunRecord(
        format=_FORMAT,
        phase=state.phase,
        **{name: getattr(state, name) for name in _RUN_COPIED},
        timer_list=[(path, timer, due) for (path, timer), due in state.timers.items()],
        frame_records=[_frame_record(frame, numbers) for frame in frames],
        open_frames=[numbers[id(frame)] for frame in state.frames.values()],
        ended=_numbers(state.ended, numbers),
        root=numbers[id(state.root)],
        undoable=[_number(step, numbers) for step in state.undoable],
        failed_undos=[_number(step, numbers) for step in state.failed_undos],
        doubts={path: _number(step, numbers) for path, step in state.doubts.items()},
        executing=[_number(step, numbers) for step in state.executing.values()],
        unknown=[_number(step, numbers) for step in state.unknown.values()],
    )
    return msgspec.json.encode(record)


def _frames(state: RunState) -> Iterator[Frame]:
    """Every frame that a decision may look at, each after those that hold it."""
    seen: set[int] = set()
    assert state.root is not None
    pending = [state.root, *state.frames.values(), *state.ended, *(step.frame for step in state.steps.values())]
    pending += [step.frame for step in (*state.undoable, *state.failed_undos, *state.doubts.values())]
    while pending:
        chain: list[Frame] = [pending.pop()]
        while chain:
            frame = chain[-1]
            holders = [holder for holder in _holders(frame) if id(holder) not in seen]
            if holders:
                chain += holders
                continue
            chain.pop()
            if id(frame) not in seen:
                seen.add(id(frame))
                yield frame
                pending += [inner for inner in _inner(frame) if id(inner) not in seen]


def _holders(frame: Frame) -> list[Frame]:
    found = [frame.outer] if frame.outer is not None else []
    return found if frame.owner is None else [*found, frame.owner.frame]


def _inner(frame: Frame) -> Iterator[Frame]:
    yield from frame.below.values()
    for step in frame.steps:
        yield from (*step.frames.values(), *step.bodies, *step.waiting_items)
        yield from step.resumed_from["bodies"] if step.resumed_from is not None else ()


def _number(step: StepState, numbers: dict[int, int]) -> StepNumber:
    return numbers[id(step.frame)], step.node.index


def _numbers(frames: Iterable[Frame], numbers: dict[int, int]) -> list[int]:
    return [numbers[id(frame)] for frame in frames]


def _frame_record(frame: Frame, numbers: dict[int, int]) -> FrameRecord:
    steps = {step.node.index: _step_record(step, numbers) for step in frame.steps}
    return FrameRecord(
        key=frame.key,
        role=frame.role,
        prefix=frame.prefix,
        waiting=frame.waiting,
        owner=None if frame.owner is None else _number(frame.owner, numbers),
        outer=None if frame.outer is None else numbers[id(frame.outer)],
        index=frame.index,
        vars=frame.vars,
        live=list(frame.live),
        ready=list(frame.ready),
        below=_numbers(frame.below.values(), numbers),
        steps={index: record for index, record in steps.items() if record != _NOT_BEGUN},
        **{name: getattr(frame, name) for name in _FRAME_COPIED},
    )


def _step_record(step: StepState, numbers: dict[int, int]) -> StepRecord:
    held = step.resumed_from
    return StepRecord(
        status=step.status,
        claim=None if step.claim == step.path else step.claim,
        frames=_numbers(step.frames.values(), numbers),
        bodies=_numbers(step.bodies, numbers),
        waiting_items=_numbers(step.waiting_items, numbers),
        resumed_from=None if held is None else _round_record(held, numbers),
        **{name: getattr(step, name) for name in _STEP_COPIED},
    )


def _round_record(held: dict[str, JSON], numbers: dict[int, int]) -> RoundRecord:
    kept = {name: held[name] for name in RoundRecord.__struct_fields__}
    return RoundRecord(**{**kept, "bodies": _numbers(held["bodies"], numbers)})


# --- restore -----------------------------------------------------------------------------------------------------------


def restore(data: bytes, plan_of: Callable[[str], Plan], secret_names: frozenset[str] = frozenset()) -> RunState | None:
    """Return the state that `save` was given; None for a snapshot of another format. The events after `head` are to be folded."""
    try:
        record = _decoder.decode(data)
    except msgspec.DecodeError:
        return None
    if record.format != _FORMAT:
        return None
    state = RunState(plan_of, secret_names)
    for name in _RUN_COPIED:
        setattr(state, name, getattr(record, name))
    lifecycle.restore_run(state, record.phase)
    state.plan = plan_of(record.version)
    for path, timer, due in record.timer_list:
        state.set_timer(path, timer, due)
    frames = _restore_frames(state, record.frame_records)
    state.root = None if record.root is None else frames[record.root]
    state.ended = [frames[number] for number in record.ended]
    state.frames = {frames[number].key: frames[number] for number in record.open_frames}

    def step_at(number: StepNumber) -> StepState:
        return frames[number[0]].steps[number[1]]

    state.undoable = [step_at(number) for number in record.undoable]
    state.failed_undos = [step_at(number) for number in record.failed_undos]
    state.doubts = {path: step_at(number) for path, number in record.doubts.items()}
    for held, found in ((state.executing, record.executing), (state.unknown, record.unknown)):
        held.update((step_at(number).path, step_at(number)) for number in found)
    _mark(state)
    return state


def _restore_frames(state: RunState, records: list[FrameRecord]) -> list[Frame]:
    frames: list[Frame] = []
    for record in records:
        owner = None if record.owner is None else frames[record.owner[0]].steps[record.owner[1]]
        outer = None if record.outer is None else frames[record.outer]
        block = _block_of(state, record.role, record.key, record.prefix, owner, outer)
        assert block is not None
        frame = Frame(
            record.key, block, record.role, owner=owner, outer=outer, prefix=record.prefix, index=record.index, vars=record.vars
        )
        for name in _FRAME_COPIED:
            setattr(frame, name, getattr(record, name))
        for index, step in record.steps.items():
            _restore_step(frame.steps[index], step)
        frame.waiting = list(record.waiting)
        frame.live = {index: frame.steps[index] for index in record.live}
        frame.ready = deque(record.ready)
        state.steps.update((step.path, step) for step in frame.steps)
        frames.append(frame)
    for record, frame in zip(records, frames, strict=True):
        frame.below = {frames[number].key: frames[number] for number in record.below}
        for index, found in record.steps.items():
            _restore_references(frame.steps[index], found, frames)
    return frames


def _restore_step(step: StepState, record: StepRecord) -> None:
    for name in _STEP_COPIED:
        setattr(step, name, getattr(record, name))
    lifecycle.restore(step, record.status)
    step.claim = record.claim if record.claim is not None else step.path


def _restore_references(step: StepState, record: StepRecord, frames: list[Frame]) -> None:
    step.frames = {frames[number].key: frames[number] for number in record.frames}
    step.bodies = [frames[number] for number in record.bodies]
    step.waiting_items = [frames[number] for number in record.waiting_items]
    if record.resumed_from is not None:
        held = record.resumed_from
        step.resumed_from = {
            **{name: getattr(held, name) for name in held.__struct_fields__},
            "bodies": [frames[number] for number in held.bodies],
        }


def _block(state: RunState, frame: Frame) -> Block | None:
    return _block_of(state, frame.role, frame.key, frame.prefix, frame.owner, frame.outer)


def _block_of(
    state: RunState, role: str, key: str, prefix: str, owner: StepState | None, outer: Frame | None
) -> Block | None:
    """Return the list of the definition that a frame executes."""
    if role == "main":
        return state.plan.root
    if role == "handler":
        return state.plan.handlers.get(split_round(key)[0])
    if role == "undo":
        assert outer is not None
        undone = next((step for step in outer.steps if f"{step.path}." == prefix), None)
        return None if undone is None else undone.node.undo
    assert owner is not None
    lists = {"fallback": owner.node.fallback, "probe": owner.node.probe}
    return lists.get(role, owner.node.body)


def _mark(state: RunState) -> None:
    """Look at everything that is under way, as after a fold: what calls for no decision changes nothing."""
    state.look_at(state)
    for frame in state.frames.values():
        state.look_at(frame)
        for step in frame.live.values():
            state.look_at(step)
