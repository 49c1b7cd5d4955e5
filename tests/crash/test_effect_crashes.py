"""Effects under crashes at every commit: once means once, undo chains run to their end, one of two works on a key.

What a step did in the world is a line in a file, written and flushed before the step answers, so the file knows what the
journal may not. The process is killed by SIGKILL at commit point k, for every k; what it left is taken on by a new one, which is
killed as well, a few commits later; the third one ends the story.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import StepStarted, StepSucceeded
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import Foreach, Step
from agentctl.ports import Call, RunRow, StoredDefinition
from agentctl.store.db import failpoint
from agentctl.testing.definitions import stored, task
from agentctl.testing.fixtures import World

FAR_MORE_THAN_ENOUGH = 200
DONE = "done.log"


def world_in(root: Path) -> World:
    """Every step writes its path to the file; `*.look` looks there; `ship` fails."""
    world = World(root)

    async def act(call: Call) -> Any:
        if call.path.endswith(".look"):
            return {"done": call.path.split(".")[0] in done(root), "output": "found"}
        with open(root / DONE, "a") as file:
            file.write(f"{call.path}\n")
            file.flush()
            os.fsync(file.fileno())
        if call.path == "ship":
            raise ActionError("failed", "out of stock")
        return f"did {call.path}"

    world.shell.behave = _Always(act)
    return world


class _Always(dict[str, Any]):
    def __init__(self, act: Callable[[Call], Awaitable[Any]]) -> None:
        self.act = act

    def __contains__(self, path: object) -> bool:
        return True

    def __getitem__(self, path: str) -> Any:
        return self.act


def done(root: Path) -> list[str]:
    log = root / DONE
    return log.read_text().split() if log.exists() else []


def crash_points(tmp_path: Path, definition: StoredDefinition) -> Iterator[tuple[int, Path, str]]:
    """(k, the project's folder, the run) for every k at which a process that creates and drives the run was killed."""
    for k in range(1, FAR_MORE_THAN_ENOUGH):
        root = tmp_path / str(k)
        root.mkdir()
        killed_at(k, root, lambda engine, root=root: begin(engine, root, definition))
        if (root / "id").exists():
            yield k, root, (root / "id").read_text()
        if (root / "undisturbed").exists():
            assert k > 6
            return
    pytest.fail("no run came through undisturbed")


async def begin(engine: Engine, root: Path, definition: StoredDefinition) -> None:
    run_id = await engine.create(definition, {})
    (root / "id").write_text(run_id)
    await engine.drive(run_id)
    (root / "undisturbed").touch()


def killed_at(point: int, root: Path, scenario: Callable[[Engine], Awaitable[object]]) -> None:
    async def doomed(engine: Engine) -> None:
        failpoint._points = failpoint.CrashPoints(point, None)
        await scenario(engine)

    world_in(root).killed(doomed)


def taken_on(root: Path, run_id: str, answer: Callable[[Path], str] | None = None) -> RunRow:
    """What the run comes to in a living process; `answer` is asked for a verdict while it is blocked."""
    world = world_in(root)

    async def drive() -> RunRow:
        engine = world.engine()
        row = await engine.drive(run_id)
        if row.status == "blocked" and answer is not None:
            await engine.resolve(run_id, "pay", answer(root), output="told")
            row = await engine.drive(run_id)
        return row

    try:
        return asyncio.run(asyncio.wait_for(drive(), 20))
    finally:
        world.close()


def pay(**more: Any) -> StoredDefinition:
    return stored("charge", task("pay", effect="once", **more), task("tell"))


def whoever_looks(root: Path) -> str:
    return "done" if "pay" in done(root) else "retry"


@pytest.mark.parametrize(
    ("verdict", "statuses", "payments"),
    [
        (whoever_looks, {"succeeded"}, {1}),
        (lambda root: "done", {"succeeded"}, {0, 1}),
        (lambda root: "failed", {"succeeded", "failed"}, {0, 1}),
    ],
    ids=["looks", "done", "failed"],
)
def test_an_effect_that_is_asked_about_never_happens_twice(
    tmp_path: Path, verdict: Callable[[Path], str], statuses: set[str], payments: set[int]
) -> None:
    blocked = 0
    for k, root, run_id in crash_points(tmp_path, pay()):
        before = done(root).count("pay")
        killed_at(1 + k % 5, root, lambda engine, run_id=run_id: engine.drive(run_id))
        row = taken_on(root, run_id)
        if row.status == "blocked":
            blocked += 1
            assert done(root).count("pay") == before <= 1, k
            row = taken_on(root, run_id, verdict)
        assert row.status in statuses, k
        assert done(root).count("pay") in payments, k
    assert blocked >= 2  # killed before and after the effect


def test_a_person_who_says_retry_without_looking_gets_what_was_asked_for_and_no_more(tmp_path: Path) -> None:
    for k, root, run_id in crash_points(tmp_path, pay()):
        before = done(root).count("pay")
        row = taken_on(root, run_id)
        was_blocked = row.status == "blocked"
        row = taken_on(root, run_id, lambda root: "retry")
        assert row.status == "succeeded", k
        assert done(root).count("pay") == (before + 1 if was_blocked else 1), k


def test_an_effect_whose_doubt_is_a_failure_never_happens_twice(tmp_path: Path) -> None:
    seen = set()
    for k, root, run_id in crash_points(tmp_path, pay(on_unknown="fail")):
        killed_at(1 + k % 5, root, lambda engine, run_id=run_id: engine.drive(run_id))
        row = taken_on(root, run_id)
        seen.add(row.status)
        assert row.status == "succeeded" or (row.error is not None and row.error.type == "step.unknown_outcome"), k
        assert done(root).count("pay") <= 1, k
    assert seen == {"succeeded", "failed"}


def test_an_effect_with_a_probe_happens_exactly_once(tmp_path: Path) -> None:
    for k, root, run_id in crash_points(tmp_path, pay(on_unknown="probe", probe=(task("look"),))):
        killed_at(1 + k % 7, root, lambda engine, run_id=run_id: engine.drive(run_id))
        assert taken_on(root, run_id).status == "succeeded", k
        assert done(root).count("pay") == 1, k


EACH = Step(
    id="each",
    action=Foreach(parse_expression("[1, 2]"), (task("part", undo=task("undo")),), max_parallel=2),
    uses="foreach",
    undo=task("undo"),
)
CHAIN = stored("order", task("a", undo=task("undo")), EACH, task("ship"), on_failure=(task("tell"),))
UNDOS = {"a.undo", "each.undo", "each[0].part.undo", "each[1].part.undo"}


def test_an_undo_chain_runs_to_its_end_and_does_nothing_twice_that_was_recorded(tmp_path: Path) -> None:
    for k, root, run_id in crash_points(tmp_path, CHAIN):
        recorded = succeeded(root, run_id)
        first = done(root)
        killed_at(1 + k % 6, root, lambda engine, run_id=run_id: engine.drive(run_id))
        row = taken_on(root, run_id)
        assert row.status == "failed", k
        lines = done(root)
        times = Counter(lines)
        assert set(times) >= UNDOS | {"on_failure.tell"}, k
        for path in recorded:
            assert times[path] == first.count(path) == 1, (k, path)
        assert len(lines) <= len(times) + 2 * 2, k  # a crash repeats at most the two attempts that were under way
        order = [path for path in dict.fromkeys(lines) if path in UNDOS]
        assert (order[0], order[-1]) == ("each.undo", "a.undo"), k
        assert lines.index("on_failure.tell") > max(lines.index(path) for path in UNDOS), k


def succeeded(root: Path, run_id: str) -> set[str]:
    """The leaves whose success the journal holds."""
    world = world_in(root)
    journal = list(world.engine().store.journal(run_id))
    world.close()
    leaves = {event.path for event in journal if isinstance(event, StepStarted) and isinstance(event.input, dict)}
    return {event.path for event in journal if isinstance(event, StepSucceeded) and event.path in leaves - {"each"}}


KEYED = pay(on_unknown="probe", probe=(task("look"),), idempotency_key=parse_value("order-7"))


def test_a_key_raced_by_two_processes_is_worked_on_once_wherever_one_of_them_dies(tmp_path: Path) -> None:
    for k in range(1, 17):
        root = tmp_path / str(k)
        root.mkdir()
        killed_at(FAR_MORE_THAN_ENOUGH, root, lambda engine, root=root: create_two(engine, root))
        first, second = (root / "ids").read_text().split()
        rival = forked(root, lambda engine, second=second: engine.drive(second, until="rest"))
        killed_at(k, root, lambda engine, first=first: engine.drive(first, until="rest"))
        assert os.waitstatus_to_exitcode(os.waitpid(rival, 0)[1]) == 0, k

        rows = taken_on_together(root, [first, second])
        assert [row.status for row in rows] == ["succeeded", "succeeded"], k
        assert done(root).count("pay") == 1, k


async def create_two(engine: Engine, root: Path) -> None:
    ids = await engine.create_many(KEYED, [{}, {}])
    (root / "ids").write_text(" ".join(ids))


def forked(root: Path, scenario: Callable[[Engine], Awaitable[object]]) -> int:
    """A process that plays the scenario and leaves as it should; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        world = world_in(root)

        async def play() -> None:
            await scenario(world.engine())

        asyncio.run(asyncio.wait_for(play(), 20))
        world.close()
        os._exit(0)
    except BaseException:  # nothing of the parent's may go on in the child
        os._exit(1)


def taken_on_together(root: Path, run_ids: list[str]) -> list[RunRow]:
    world = world_in(root)

    async def drive() -> list[RunRow]:
        engine = world.engine()
        return await asyncio.gather(*(engine.drive(run_id) for run_id in run_ids))

    try:
        return asyncio.run(asyncio.wait_for(drive(), 20))
    finally:
        world.close()
