"""Run processes and control their whole trees. Shared by `shell` and `python`.

Guarantees:

- A cancelled process gets TERM, with its process group. After the grace period its whole tree gets KILL. Only then does the
  cancellation continue.
- When the runner is killed with SIGKILL, the warden kills the trees of all running steps (`warden` defines a tree, on Linux and
  on macOS). Until then it holds the lock that marks the runner as alive, so nobody takes over a run whose old attempt still acts.
- When runner and warden are killed at the same instant, the next owner of the run kills what they left (`left_behind`).
- What a finished step left running, such as a server in the background, is left alone.

PR_SET_PDEATHSIG is not used: it needs a `preexec_fn`, which is unsafe beside threads and slower the bigger the runner is, and it
reaches the direct child only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from agentctl.actions import warden
from agentctl.actions.pipes import Channel, Feeder, Reader, Sink
from agentctl.actions.warden_process import WARDEN

GRACE = 10.0  # seconds between TERM and KILL
DRAIN = 1.0  # seconds of silence after which a pipe that only a grandchild still holds is let go
DRAIN_LIMIT = 5.0  # seconds after which it is let go although the grandchild still writes


class NotStarted(Exception):
    """The program was not started: nothing of it ran. `cause`: the error of the system, or of the check of the arguments."""

    def __init__(self, cause: OSError | ValueError) -> None:
        super().__init__(str(cause))
        self.cause = cause


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[bytes] | int | Feeder,
    stdout: Sink,
    stderr: Sink,
    channel: Channel | None = None,
    pass_fds: Sequence[int] = (),
    grace: float = GRACE,
) -> int:
    """Run a program to its end; return the exit code, or minus the number of the signal that ended it.

    stdout, stderr: get the output in chunks as it comes. What one of them raises ends the tree and is raised here.
    channel: a third pipe; the child inherits its writing end.
    Raises NotStarted when the program cannot be started.
    Cancelled: stops the whole tree first; a second cancellation cuts the grace short.
    """
    marker = os.urandom(12).hex()
    try:
        try:
            process = _start(argv, cwd, env, stdin, channel, pass_fds, marker)
        except (OSError, ValueError) as error:
            raise NotStarted(error) from error
        WARDEN.started(marker, process.pid)
        return await _Running(process, marker, stdin, stdout, stderr, channel).result(grace)
    finally:
        WARDEN.ended(marker)


def _start(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[bytes] | int | Feeder,
    channel: Channel | None,
    pass_fds: Sequence[int],
    marker: str,
) -> subprocess.Popen[bytes]:
    WARDEN.started(marker, 0)
    writing = [] if channel is None else [channel.writing.fileno()]
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env={**env, warden.MARKER: marker},
        stdin=subprocess.PIPE if isinstance(stdin, Feeder) else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[*pass_fds, *writing],
        start_new_session=True,
        bufsize=0,
    )
    if channel is not None:
        channel.writing.close()
    return process


class _Running:
    """A started process: its pipes and its end, watched by the event loop."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        marker: str,
        stdin: IO[bytes] | int | Feeder,
        stdout: Sink,
        stderr: Sink,
        channel: Channel | None,
    ) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.marker = f"{warden.MARKER}={marker}".encode()
        self.broken = asyncio.Event()  # a sink takes nothing more
        outputs = [(process.stdout, stdout), (process.stderr, stderr)]
        if channel is not None:
            outputs.append((channel.reading, channel.sink))
        self.readers = [Reader(file, sink, self.broken.set) for file, sink in outputs]
        self.feeder = stdin if isinstance(stdin, Feeder) else None
        if self.feeder is not None:
            assert process.stdin is not None
            self.feeder.start(process.stdin)
        self.ended = _end_of(process)

    async def result(self, grace: float) -> int:
        broken = asyncio.ensure_future(self.broken.wait())
        either: list[asyncio.Future[Any]] = [self.ended, broken]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.ended.done():
                await self._drain()
            else:
                await self._stop(grace)
        except asyncio.CancelledError:
            await self._stop(grace)
            raise
        finally:
            broken.cancel()
            self._close()
        for reader in self.readers:
            if reader.failure is not None:
                raise reader.failure
        return self.process.wait()

    def _close(self) -> None:
        if self.feeder is not None:
            self.feeder.close()
        for reader in self.readers:
            reader.close()

    async def _drain(self) -> None:
        """Read on until all pipes are closed, nothing came for a while, or the time is over: a grandchild may hold them."""
        since = time.monotonic()
        while waiting := [reader.closed for reader in self.readers if not reader.closed.done()]:
            now = time.monotonic()
            silence = now - max(since, *(reader.last for reader in self.readers))
            left = min(DRAIN - silence, since + DRAIN_LIMIT - now)
            if left <= 0:
                return
            await asyncio.wait(waiting, timeout=left)

    async def _stop(self, grace: float) -> None:
        hurry = asyncio.Event()
        stopping = asyncio.ensure_future(self._end_tree(grace, hurry))
        while not stopping.done():
            try:
                await asyncio.shield(stopping)
            except asyncio.CancelledError:
                hurry.set()

    async def _end_tree(self, grace: float, hurry: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(asyncio.CancelledError):  # the loop is being torn down: no time for grace
            await self._grace(time.monotonic() + grace, hurry)
        await asyncio.to_thread(self._kill)

    async def _grace(self, deadline: float, hurry: asyncio.Event) -> None:
        """Wait until the tree is gone, or the deadline has passed, or `hurry` is set."""
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            either: list[asyncio.Future[Any]] = [self.ended, hurried]
            await asyncio.wait(either, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
            pause = 0.01
            while not hurry.is_set() and time.monotonic() < deadline:
                # Looking through /proc takes milliseconds on a busy host: not in the loop's thread.
                if not await asyncio.to_thread(warden.members, self.process.pid, b""):
                    return
                await asyncio.wait([hurried], timeout=pause)
                pause = min(2 * pause, 0.25)
        finally:
            hurried.cancel()

    def _kill(self) -> None:
        warden.kill_tree(self.process.pid, self.marker)
        self.process.wait()


def _end_of(process: subprocess.Popen[bytes]) -> asyncio.Future[None]:
    """Done when the process has ended. By a pidfd on Linux, by a thread of its own elsewhere."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not ended.done():
            ended.set_result(None)

    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel before 5.3, or no descriptors left
            descriptor = os.pidfd_open(process.pid)

            def readable() -> None:
                loop.remove_reader(descriptor)
                os.close(descriptor)
                process.wait()
                settle()

            loop.add_reader(descriptor, readable)
            return ended

    def wait() -> None:
        process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=wait, daemon=True).start()
    return ended
