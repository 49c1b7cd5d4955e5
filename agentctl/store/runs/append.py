"""The hot path: many runs' appends as one handful of statements.

caller:  prepare(Append)  -> encoded, on the event loop's side
writer:  check            -> LeaseLost, before anything of the entry is written
         write_wave       -> journal, projections, then spawn, replies, consumed, ends
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agentctl.core.events import ChildFinished, EventReceived, RunResumed
from agentctl.errors import LeaseLost
from agentctl.ports import FINISHED, Append, Appended
from agentctl.store.db.connection import array
from agentctl.store.db.session import Disagreement, Held, Session
from agentctl.store.events import offers
from agentctl.store.events.events import PreparedEvent, prepare_event, record
from agentctl.store.events.waits import PreparedWait, forget, open_waits, prepare_wait
from agentctl.store.limits.budgets import reserve, settle
from agentctl.store.limits.queue import began, leave
from agentctl.store.runs.create import NewRow, create_runs, prepare_run
from agentctl.store.runs.keys import PreparedOrder, leave_queue, order_results, prepare_orders
from agentctl.store.runs.mail import post, tell_awaiters
from agentctl.store.runs.memory import PreparedValues, prepare_values, remember
from agentctl.store.runs.payloads import Payloads


class PreparedAppend(msgspec.Struct, frozen=True):
    """An Append as text. `lines`: its events, `outputs`: those that they share; `usage`, `output`, `error`: of its progress.

    `brings_more`: than events and progress, which is all that most bring.
    """

    entry: Append
    lines: list[str]
    outputs: list[tuple[str, str]]
    brings_more: bool
    usage: str | None
    output: str | None
    error: str | None
    spawn: list[NewRow]
    replies: list[tuple[str, str]]
    emitted: list[PreparedEvent]
    waits: list[PreparedWait]
    remember: PreparedValues
    keys: list[PreparedOrder]


def prepare(entry: Append, payloads: Payloads) -> PreparedAppend:
    """Raises StoreError when a large payload cannot be written."""
    progress = entry.progress
    resumed = {reply.run_id for reply in entry.replies if isinstance(reply.event, RunResumed)}
    sharing = payloads.sharing()
    return PreparedAppend(
        entry=entry,
        lines=[sharing.event(event) for event in entry.events],
        brings_more=_brings_more(entry),
        usage=payloads.json(progress.usage),
        output=sharing.output(progress.output),
        outputs=sharing.outputs,
        error=payloads.json(progress.error),
        spawn=[prepare_run(run, payloads, resumed=run.created.run_id in resumed) for run in entry.spawn],
        replies=[(reply.run_id, payloads.event(reply.event)) for reply in entry.replies],
        emitted=[prepare_event(event, starts, payloads) for event, starts in entry.emitted],
        waits=[prepare_wait(wait, payloads) for wait in entry.waits],
        remember=prepare_values(entry.remember, payloads),
        keys=prepare_orders(entry.keys, payloads),
    )


def _brings_more(entry: Append) -> bool:
    runs = entry.spawn or entry.replies or entry.consumed
    steps = entry.forgotten or entry.keys or entry.waits or entry.remember
    return bool(runs or steps or entry.settle or entry.reserve or entry.snapshot is not None)


def check(session: Session, entry: Append) -> None:
    """Raises LeaseLost: another lease, or another head than the caller thinks."""
    held = session.held(entry.lease)
    if held.head != entry.head:
        raise LeaseLost(
            f"the journal of run {entry.lease.run_id} holds {held.head} events, not {entry.head}: this is an old write"
        )


def write_wave(session: Session, wave: Sequence[PreparedAppend]) -> list[Appended]:
    """Write checked appends of runs that are all different; returns what became of each.

    Raises Disagreement, with the transaction to be rolled back.
    """
    _write_projections(session, wave)
    _write_journals(session, wave)
    answers = [_carry_out(session, item) if item.brings_more else Appended(released=item.entry.release) for item in wave]
    started = _started(session, wave)
    if started:
        began(session, started)
    finished = [item.entry for item in wave if item.entry.progress.status in FINISHED]
    if finished:
        _end(session, finished)
    emitted = [event for item in wave for event in item.emitted]
    if emitted:  # to the waits of this very wave, too, and into the places that it leaves
        record(session, emitted)
    for item, answer in zip(wave, answers, strict=True):
        _stage(session, item.entry, answer.released)
    return answers


_STEP = """
UPDATE runs SET head = v.column4, steps_done = v.column5, steps_total = v.column6, usage = v.column7
FROM (VALUES """
_TURN = """
UPDATE runs SET head = v.column4, steps_done = v.column5, steps_total = v.column6, usage = v.column7,
    status = v.column8, started_at = v.column9, finished_at = v.column10, output = v.column11, error = v.column12,
    wake_at = v.column13, version = coalesce(v.column14, version), owner = v.column15
FROM (VALUES """
_WHERE = ") v WHERE runs.key = v.column1 AND runs.epoch = v.column2 AND runs.head = v.column3 AND runs.owner = "


def _write_projections(session: Session, wave: Sequence[PreparedAppend]) -> None:
    """Most appends move a counter only. Those leave every indexed column alone, which spares the indexes' pages."""
    steps, turns = [], []
    for item in wave:
        entry, progress = item.entry, item.entry.progress
        held = session.held(entry.lease)
        head = entry.head + len(item.lines)
        row = (held.key, held.epoch, entry.head, head, progress.steps_done, progress.steps_total, item.usage)
        if _only_counts(item, held):
            steps.append(row)
        else:
            owner = None if entry.release else session.executor.id
            turns.append(
                (
                    *row,
                    progress.status,
                    progress.started_at,
                    progress.finished_at,
                    item.output,
                    item.error,
                    progress.wake_at,
                    progress.version,
                    owner,
                )
            )
    where = _WHERE + f"'{session.executor.id}'"
    changed = session.write_rows(_STEP, steps, where) + session.write_rows(_TURN, turns, where)
    if changed != len(wave):
        raise Disagreement


def _only_counts(item: PreparedAppend, held: Held) -> bool:
    entry, progress = item.entry, item.entry.progress
    return (
        progress.status == held.status
        and progress.wake_at == held.wake_at
        and progress.started_at == held.started_at
        and progress.status not in FINISHED
        and progress.version is None
        and not entry.release
    )


def _write_journals(session: Session, wave: Sequence[PreparedAppend]) -> None:
    rows = []
    for item in wave:
        key = session.held(item.entry.lease).key
        rows += [(key, seq, line) for seq, line in enumerate(item.lines, item.entry.head + 1)]
    session.write_rows("INSERT INTO journal (run, seq, event) VALUES ", rows)
    outputs = [(session.held(item.entry.lease).key, *output) for item in wave for output in item.outputs]
    session.write_rows("INSERT OR IGNORE INTO outputs (run, digest, value) VALUES ", outputs)


def _carry_out(session: Session, item: PreparedAppend) -> Appended:
    """Write what goes with the events of one run, in the order that `ports.Append` gives."""
    entry, run_id = item.entry, item.entry.lease.run_id
    key = session.held(entry.lease).key
    if item.spawn:
        create_runs(session, item.spawn)
    if item.replies:
        post(session, item.replies)
    if entry.consumed:
        read = [(number, key) for number in entry.consumed]
        session.connection.executemany("DELETE FROM mail WHERE id = ? AND run = ?", read)
    taken = [event.event["id"] for event in entry.events if isinstance(event, EventReceived)]
    if taken:
        offers.take(session, key, taken)
    if entry.forgotten:
        forget(session, key, entry.forgotten)
        leave_queue(session, key, entry.forgotten)
    if item.keys:
        order_results(session, key, run_id, entry.at, item.keys)
    offered = open_waits(session, key, run_id, item.waits) if item.waits else 0
    if entry.consumed:
        offered += offers.resume(session, key, run_id, entry.consumed)
    if item.remember:
        remember(session, key, item.remember, entry.events[-1].at)
    if entry.snapshot is not None:
        head = entry.head + len(entry.events)
        session.connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", (key, head, entry.snapshot))
    settle(session, key, entry.settle)
    refused = tuple(reserve(session, key, entry.reserve))
    if entry.release and offered:
        _keep_lease(session, key)
    return Appended(refused, released=entry.release and not offered, offered=offered > 0)


def _keep_lease(session: Session, key: int) -> None:
    """What the commit offers is for this process to look at: the run is not loaded again for it."""
    session.connection.execute("UPDATE runs SET owner = ? WHERE key = ?", (session.executor.id, key))


def _started(session: Session, wave: Sequence[PreparedAppend]) -> list[tuple[int, float]]:
    """The keys of the runs with limits that start with this wave, and when."""
    runs = [(session.held(item.entry.lease), item.entry.progress.started_at) for item in wave]
    return [(held.key, at) for held, at in runs if held.limited and held.started_at is None and at is not None]


def _end(session: Session, finished: Sequence[Append]) -> None:
    """Mail the ends of these runs to those that await them, and free their slots."""
    runs = [(session.held(entry.lease), entry) for entry in finished]
    tell_awaiters(session, {held.key: _end_of(entry) for held, entry in runs})
    ended = array(held.key for held, _ in runs)
    session.connection.execute("DELETE FROM snapshots WHERE run IN (SELECT value FROM json_each(?))", (ended,))
    limited = [held.key for held, _ in runs if held.limited]
    if limited:
        leave(session, limited)


def _stage(session: Session, entry: Append, released: bool) -> None:
    if released:
        session.stage(entry.lease.run_id, None)
        return
    held, progress = session.held(entry.lease), entry.progress
    session.stage(
        entry.lease.run_id,
        Held(
            held.key,
            held.epoch,
            entry.head + len(entry.events),
            progress.status,
            progress.started_at,
            progress.wake_at,
            held.limited,
        ),
    )


def _end_of(entry: Append) -> ChildFinished:
    """The mail for each run that awaits this one; the path is put in for each."""
    progress = entry.progress
    return ChildFinished(
        at=progress.finished_at or 0.0,
        path="",
        run_id=entry.lease.run_id,
        status=progress.status,
        output=progress.output,
        error=progress.error,
        usage=progress.usage,
    )
