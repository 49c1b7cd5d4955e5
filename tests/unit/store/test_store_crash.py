"""Real processes, really killed: what was acknowledged is there, what was not is there whole or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agentctl.core.events import AnyEvent
from agentctl.errors import LeaseLost
from agentctl.ports import Appended, Lease
from agentctl.store.db import failpoint
from agentctl.store.ledger import Ledger, open_store

# Six commits (the first makes the tables, the last gives the leases back), each with a point before it and one after it.
WORK = """
    store = open_store(path)

    async def work():
        await store.create([new_run("p"), new_run("q")])
        say("created")
        [lease] = await store.acquire(["p"])
        say("leased")
        child = new_run("c", parent=Parent("p", "call"))
        started = [RunStarted(at=2.0), StepStarted(at=2.0, path="call", child="c")]
        await store.append(Append(lease=lease, head=1, events=started, progress=progress(), spawn=[child]))
        say("spawned")
        ended = [RunFinished(at=9.0, status="succeeded")]
        replies = [Reply("q", CancelRequested(at=9.0))]
        await store.append(Append(lease=lease, head=3, events=ended, progress=progress("succeeded"), replies=replies))
        say("ended")

    asyncio.run(work())
    store.close()
    say("closed")
"""
WORDS = ["created", "leased", "spawned", "ended", "closed"]
POINTS = 12


def look(path: Path) -> tuple[dict[str, tuple[str, int, int]], list[AnyEvent], int]:
    """(runs: status, head, epoch), the journal of p, the number of letters for q."""
    store = open_store(path)
    runs = {run_id: store.run(run_id) for run_id in "pqc"}
    shown = {run_id: (row.status, row.head, row.epoch) for run_id, row in runs.items() if row is not None}
    answer = shown, list(store.journal("p")), len(store.mail(["q"]))
    store.close()
    return answer


# What a store holds after the n-th commit.
AFTER = [
    {},
    {},
    {"p": ("queued", 1, 0), "q": ("queued", 1, 0)},
    {"p": ("queued", 1, 1), "q": ("queued", 1, 0)},
    {"p": ("interrupted", 3, 1), "q": ("queued", 1, 0), "c": ("queued", 1, 0)},
    {"p": ("succeeded", 4, 1), "q": ("queued", 1, 0), "c": ("queued", 1, 0)},
    {"p": ("succeeded", 4, 1), "q": ("queued", 1, 0), "c": ("queued", 1, 0)},
]


def test_the_number_of_crash_points_of_a_process_can_be_counted(script, tmp_path: Path) -> None:
    process = script(WORK, env={"AGENTCTL_CRASH_COUNT": str(tmp_path / "count")})
    out, err = process.communicate(timeout=30)
    assert out.split() == WORDS, err
    assert (tmp_path / "count").read_text() == str(POINTS)


@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_a_kill_at_any_commit_loses_nothing_acknowledged_and_leaves_nothing_half_done(script, path: Path, point: int) -> None:
    process = script(WORK, env={"AGENTCTL_CRASH_AT": str(point)})
    out, _ = process.communicate(timeout=30)
    commits = point // 2  # an odd point is just before its commit, an even one just after
    assert process.returncode == -signal.SIGKILL
    assert out.split() == WORDS[: max(0, (point - 1) // 2 - 1)]
    runs, journal, letters = look(path)
    assert runs == AFTER[commits]
    assert len(journal) == runs.get("p", ("", 0, 0))[1]
    assert letters == (1 if commits >= 5 else 0)


def test_a_hundred_appends_handed_in_together_share_a_few_commits(
    store: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_run, append
) -> None:
    points = failpoint.CrashPoints(None, None)

    async def scenario() -> None:
        await store.create([new_run(f"r{n}") for n in range(100)])
        leases = await store.acquire([f"r{n}" for n in range(100)])
        monkeypatch.setattr(failpoint, "_points", points)
        await asyncio.gather(*(store.append(append(lease, 1)) for lease in leases))

    asyncio.run(scenario())
    assert 2 <= points.passed <= 6  # a commit that was under way when the first came in, and the rest


# --- leases between processes ---

RACE = """
    store = open_store(path)
    sys.stdin.readline()

    async def race():
        got = await asyncio.gather(*(store.acquire([f"r{n}"]) for n in range(200)))
        say(" ".join(lease.run_id for leases in got for lease in leases))

    asyncio.run(race())
    sys.stdin.readline()  # keep them
"""


def test_of_two_racing_processes_each_run_goes_to_exactly_one(script, store: Ledger, new_run) -> None:
    async def create() -> None:
        await store.create([new_run(f"r{n}") for n in range(200)])

    asyncio.run(create())
    racers = [script(RACE), script(RACE)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    first, second = (set(racer.stdout.readline().split()) for racer in racers)
    assert first | second == {f"r{n}" for n in range(200)}
    assert not first & second


HOLD = """
    store = open_store(path)

    async def hold():
        await store.create([new_run("r1")])
        [lease] = await store.acquire(["r1"])
        await store.append(Append(lease=lease, head=1, events=[RunStarted(at=2.0)], progress=progress()))

    asyncio.run(hold())
    say("held")
    sys.stdin.readline()
"""


def acquire(store: Ledger, run_id: str) -> list[Lease]:
    async def wait() -> list[Lease]:
        return await store.acquire([run_id])

    return asyncio.run(wait())


def test_a_killed_process_loses_its_leases_at_once_and_a_stopped_one_keeps_them(script, store: Ledger, path: Path) -> None:
    holder = script(HOLD)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    assert acquire(store, "r1") == []
    assert store.due(100.0) == []
    assert store.run("r1").status == "running"
    holder.kill()
    holder.wait(timeout=30)
    assert store.run("r1").status == "interrupted"
    assert store.due(100.0) == ["r1"]
    assert [lease.epoch for lease in acquire(store, "r1")] == [2]
    assert len(list((path.parent / "executors").iterdir())) == 1  # the dead one's file is gone, ours is there


def test_who_died_without_a_lease_leaves_no_file_behind_for_long(script, store: Ledger, path: Path, new_run) -> None:
    holder = script(
        """
        store = open_store(path)

        async def look():
            await store.acquire(["nothing"])

        asyncio.run(look())
        say("an executor")
        sys.stdin.readline()
        """
    )
    assert holder.stdout.readline() == "an executor\n"
    [dead] = (path.parent / "executors").iterdir()
    holder.kill()
    holder.wait(timeout=30)
    acquire(store, "another")
    [mine] = (path.parent / "executors").iterdir()
    assert mine != dead


def test_a_child_process_that_outlives_its_runner_does_not_keep_the_runs(script, store: Ledger) -> None:
    holder = script(
        """
        store = open_store(path)

        async def hold():
            await store.create([new_run("r1")])
            await store.acquire(["r1"])

        asyncio.run(hold())
        import subprocess
        child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False)
        say(child.pid)
        sys.stdin.readline()
        """
    )
    child = int(holder.stdout.readline())
    try:
        holder.kill()
        holder.wait(timeout=30)
        assert [lease.epoch for lease in acquire(store, "r1")] == [2]
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_zombie_whose_run_was_taken_over_can_write_nothing(path: Path, store: Ledger, new_run, append) -> None:
    zombie = open_store(path)

    async def scenario() -> None:
        await zombie.create([new_run("r1"), new_run("r2")])
        leases = await zombie.acquire(["r1", "r2"])
        for file in (path.parent / "executors").iterdir():
            file.unlink()  # as if it were dead
        [lease] = await store.acquire(["r1"])
        await store.append(append(lease, 1))
        writes = [zombie.append(append(old, head)) for old in leases for head in (1,)]
        late, other = await asyncio.gather(*writes, return_exceptions=True)
        assert isinstance(late, LeaseLost)
        assert other == Appended()

    asyncio.run(scenario())
    zombie.close()
    assert store.run("r1").head == 2
    assert store.run("r2").head == 2
    assert store.run("r1").owner is not None
