"""What every Store promises of the lock by which a process proves that it lives."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agentctl.core.events import RunCreated
from agentctl.ports import NewRun, Store

OWNER_WITH_CHILD = """
import asyncio, subprocess, sys
from pathlib import Path
from agentctl.store.ledger import open_store

async def main():
    store = open_store(Path(sys.argv[1]))
    await store.acquire(["a"])
    child = subprocess.Popen(["sleep", "60"], pass_fds=[store.executor_lock_fd()], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def test_a_child_that_shares_the_lock_keeps_the_leases_until_it_has_ended_too(
    open_one: Callable[..., Store], place: Path
) -> None:
    other = open_one()

    async def create() -> None:
        await other.create([NewRun(created=RunCreated(at=1.0, run_id="a", name="demo", kind="loop", version="v1"))])

    async def acquired() -> list[str]:
        return [lease.run_id for lease in await other.acquire(["a"])]

    asyncio.run(create())
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER_WITH_CHILD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert asyncio.run(acquired()) == []
    ended = os.pidfd_open(child)
    os.kill(child, signal.SIGKILL)
    select.select([ended], [], [], 20)
    os.close(ended)
    assert asyncio.run(acquired()) == ["a"]


def test_a_process_that_leases_nothing_has_no_lock_to_share(store: Store) -> None:
    assert store.executor_lock_fd() is None
