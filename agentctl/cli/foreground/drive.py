"""Drive one run in the foreground, and report how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from agentctl.cli import output, queries
from agentctl.cli.foreground.follow import drive_or_follow, mirrored
from agentctl.cli.foreground.watch import Watch
from agentctl.cli.output import FAILED, INTERRUPTED, UNFINISHED, show_log
from agentctl.errors import LeaseLost, StoreBusy, StoreError
from agentctl.expressions.large import shown
from agentctl.ports import FINISHED
from agentctl.render.text import error_line, indented, visible
from agentctl.render.waits import unresolved_lines
from agentctl.views.runs import outcome_document

if TYPE_CHECKING:
    from agentctl.cli.context import Hints
    from agentctl.cli.foreground.interrupts import Interrupts
    from agentctl.engine.engine import Engine
    from agentctl.language.project.project import Project
    from agentctl.ports import Observer, RunRow

_EXIT_CODES = {
    "succeeded": 0,
    "failed": FAILED,
    "cancelled": FAILED,
    "queued": UNFINISHED,
    "waiting": UNFINISHED,
    "blocked": UNFINISHED,
    "interrupted": INTERRUPTED,
}
_PATIENCE = 0.5  # seconds of a stop after which a message says what it waits for


class Ended(NamedTuple):
    """How driving a run ended.

    `stopped`: a signal ended our part, not the run itself.
    `served`: `agentctl serve` continues it.

    `unresolved`: lines for a person to look at.
    """

    row: RunRow
    stopped: bool
    unresolved: list[str]
    served: bool = False


@contextmanager
def working(project: Project) -> Iterator[tuple[Engine, Watch]]:
    """Open an engine on the project's store, and watch it. Enter within the event loop that uses it."""
    from agentctl.telemetry.setup import telemetry
    from agentctl.wiring import build_engine, calm_collector, open_store

    show_log()
    with ExitStack() as ending:
        store = open_store(project.store_path)
        ending.callback(store.close)
        watch = Watch(store)
        observers: list[Observer] = [watch]
        traces = telemetry(store)
        if traces is not None:
            observers.append(traces)
            ending.callback(traces.close)
        engine = build_engine(project, store, observers=observers)
        calm_collector()
        yield engine, watch


async def drive(engine: Engine, watch: Watch, run_id: str, *, wait: bool, hints: Hints, interrupts: Interrupts) -> Ended:
    """Drive the run to its end, or without `wait` until only waiting is left. A run that `serve` drives is followed instead.

    The first SIGINT or SIGTERM stops the engine: nothing new starts, everything is kept, the run is `interrupted`.
    The second ends the process at once, which costs the attempts under way and nothing else.
    """
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []
    slow: list[asyncio.TimerHandle] = []

    def stop() -> None:
        stopping.append(loop.create_task(engine.stop()))
        slow.append(loop.call_later(_PATIENCE, output.note, "stopping running steps; again to stop at once"))

    try:
        watch.begin(run_id, hints.where)
        async with watch.shown(), _asking(engine, watch, hints, wait=wait), mirrored(engine, watch):
            watch.report_all_waits(run_id)
            with interrupts.answered(stop, watch.close, f"interrupted; resume it with: {hints.resume}"):
                row = await drive_or_follow(engine, run_id, wait=wait, left=interrupts.came)
                await asyncio.gather(*stopping)
            if row.status != "queued":  # a resumed run in the queue is still stored as it ended
                row = engine.store.run(run_id) or row
            watch.settle(row)
        unresolved = unresolved_lines(queries.unresolved(engine.store, row), hints.where)
    except (StoreBusy, LeaseLost):
        raise
    except StoreError:
        output.note(f"what was recorded is kept; resume it with: {hints.resume}")
        raise
    finally:
        for timer in slow:
            timer.cancel()
    served = engine.store.serving() is not None
    return Ended(row, stopped=bool(stopping) and row.status not in FINISHED, unresolved=unresolved, served=served)


@asynccontextmanager
async def _asking(engine: Engine, watch: Watch, hints: Hints, *, wait: bool) -> AsyncIterator[None]:
    """Ask for approvals on the terminal, if there is one and the command waits for the answers."""
    from agentctl.cli.foreground.prompt import Asker, can_ask

    if wait and can_ask():
        async with Asker(engine, watch, hints.where).attending():
            yield
    else:
        yield


def report(ended: Ended, hints: Hints, *, json: bool) -> int:
    """Print how the run ended; return the exit code."""
    row = ended.row
    if json:
        output.print_json(outcome_document(row))
    elif row.status == "succeeded" and row.output is not None:
        as_it_is = isinstance(row.output, str) and not output.on_terminal()  # for a program or a file, unchanged
        output.say(row.output if as_it_is else indented(shown(row.output)))
    if ended.served and row.status not in FINISHED and row.status != "blocked":
        output.note(f"{'interrupted' if ended.stopped else row.status}; agentctl serve continues it; look at it: {hints.show}")
    else:
        for line in [f"interrupted; resume it with: {hints.resume}"] if ended.stopped else ending(row, hints):
            output.note(line)
    for line in ended.unresolved:
        output.note(line)
    return INTERRUPTED if ended.stopped else _EXIT_CODES.get(row.status, FAILED)


def ending(row: RunRow, hints: Hints) -> list[str]:
    """Return the lines about any end but success, with the commands to continue."""
    if row.status == "succeeded":
        return []
    if row.status == "failed":
        return [f"error: {why(row)}", f"  look at it:   {hints.show}", f"  try it again: {hints.resume}"]
    if row.status == "cancelled":
        cause = why(row) if row.error is not None else f"cancelled: {why(row)}"
        return [cause, f"  look at it:   {hints.show}", f"  resume it:    {hints.resume}"]
    if row.status == "blocked":
        if row.error is not None:
            return [f"blocked: {why(row)}"]
        return ["blocked: it is unknown whether this step took effect; look, and answer with one of these commands"]
    return [f"{row.status}; continue it with: {hints.drive}"]


def why(row: RunRow) -> str:
    if row.error is None:
        return f"run {row.id}"
    where = f"step {visible(row.error.step)}: " if row.error.step else ""
    more = [visible(line) for line in row.error.message.splitlines() if line.strip()][1:]
    return "\n".join([where + error_line(row.error, 400), *(f"  {line}" for line in more)])
