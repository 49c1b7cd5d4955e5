"""Processes with their whole trees: started, read, waited for and killed. Shared by `shell` and `python`.

Guarantees. A cancelled process gets TERM (its group does), after the grace period its whole tree gets KILL, and only then does
the cancellation go on. When the runner itself is killed with -9, the warden kills the trees of all steps that were under way
(`warden` says what counts as a tree, on Linux and on macOS). If runner and warden are killed in the same instant, nobody is left
to clean up. PR_SET_PDEATHSIG is not used: it needs a `preexec_fn`, unsafe beside threads and slower the bigger the runner is,
and it reaches the direct child only. What a step that ended left behind (a server put in the background) is left alone.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from agentctl.actions import warden

Sink = Callable[[bytes], None]

GRACE = 10.0  # seconds between TERM and KILL
DRAIN = 1.0  # seconds of silence after which a pipe that only a grandchild still holds is let go
CHUNK = 65536


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[bytes] | int,
    stdout: Sink,
    stderr: Sink,
    pass_fds: Sequence[int] = (),
    grace: float = GRACE,
) -> int:
    """Run a program to its end; the exit code, or minus the number of the signal that ended it.

    `stdout`, `stderr` get the output in chunks as it comes. Raises OSError or ValueError when the program cannot be started.
    Cancelled: stops the whole tree first; a second cancellation cuts the grace short.
    """
    marker = os.urandom(12).hex()
    _warden.started(marker, 0)
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**env, warden.MARKER: marker},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        _warden.started(marker, process.pid)
        return await _Running(process, marker, stdout, stderr).result(grace)
    finally:
        _warden.ended(marker)


class _Running:
    """A started process: its two pipes and its end, watched by the event loop."""

    def __init__(self, process: subprocess.Popen[bytes], marker: str, stdout: Sink, stderr: Sink) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.marker = f"{warden.MARKER}={marker}".encode()
        self.pipes = [_Pipe(process.stdout, stdout), _Pipe(process.stderr, stderr)]
        self.ended = _end_of(process)

    async def result(self, grace: float) -> int:
        try:
            await asyncio.shield(self.ended)
            await self._drain()
        except asyncio.CancelledError:
            await self._stop(grace)
            raise
        finally:
            for pipe in self.pipes:
                pipe.close()
        for pipe in self.pipes:
            if pipe.failure is not None:
                raise pipe.failure
        return self.process.wait()

    async def _drain(self) -> None:
        """Read on until both pipes are closed, or nothing came for a while: a grandchild may hold them for ever."""
        since = time.monotonic()
        while waiting := [pipe.closed for pipe in self.pipes if not pipe.closed.done()]:
            quiet = time.monotonic() - max(since, *(pipe.last for pipe in self.pipes))
            if quiet >= DRAIN:
                return
            await asyncio.wait(waiting, timeout=DRAIN - quiet)

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
        """Wait until nobody of the tree is left, or the deadline, or hurry."""
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


class _Pipe:
    """One output of a process. `last`: when it spoke last; `closed`: done at its end; `failure`: what its sink raised."""

    def __init__(self, file: IO[bytes], sink: Sink) -> None:
        self.file = file
        self.sink = sink
        self.last = 0.0
        self.failure: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        os.set_blocking(file.fileno(), False)
        self.loop.add_reader(file.fileno(), self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self.file.fileno(), CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return
        self.last = time.monotonic()
        if self.failure is None:  # else only keep the process from blocking on a full pipe
            try:
                self.sink(chunk)
            except Exception as failure:
                self.failure = failure

    def close(self) -> None:
        if not self.closed.done():
            self.loop.remove_reader(self.file.fileno())
            self.file.close()
            self.closed.set_result(None)


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


class _Warden:
    """This process's line to its warden, which is started with the first tree and again should somebody have killed it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.trees: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def started(self, marker: str, pid: int) -> None:
        with self.lock:
            self.trees[marker] = pid
            self._tell(f"+ {marker} {pid}\n")

    def ended(self, marker: str) -> None:
        with self.lock:
            del self.trees[marker]
            self._tell(f"- {marker}\n")

    def close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)

    def _tell(self, line: str) -> None:
        if self.process is None:
            self._start()
            return
        try:
            self._write(line.encode())
        except BrokenPipeError:
            self.close()
            self._start()

    def _write(self, data: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        os.write(self.process.stdin.fileno(), data)

    def _start(self) -> None:
        source = Path(warden.__file__).read_bytes() + b"\nwatch(sys.stdin.buffer)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))", str(len(source))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # Without the marker of a tree that this runner itself may be part of: the warden must outlive it.
            env={name: value for name, value in os.environ.items() if name != warden.MARKER},
            start_new_session=True,
            bufsize=0,
        )
        self._write(source + "".join(f"+ {marker} {pid}\n" for marker, pid in self.trees.items()).encode())


_warden = _Warden()
atexit.register(_warden.close)
