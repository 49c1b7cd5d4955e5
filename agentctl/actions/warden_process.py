"""The warden of this process: started with the first tree, informed of every tree, and replaced as soon as it dies."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from agentctl.actions import warden


class WardenProcess:
    """Starts, informs and replaces the warden. A thread waits for its end, so a dead warden is noticed at once.

    Between the death of a warden and the start of the next one, no process could kill the trees if this process died as well.
    So the trees are stopped (SIGSTOP) for that moment: an unguarded attempt does not act.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trees: dict[str, int] = {}
        self._locks: dict[tuple[int, int], int] = {}  # (device, inode) of a lock -> its descriptor
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def hold(self, descriptor: int) -> None:
        """Let the warden keep the lock of this descriptor, too: it is free once this process and the trees are gone."""
        with self._lock:
            lock = _identity(descriptor)
            if lock is None or lock in self._locks:
                return
            self._locks[lock] = descriptor
            if self._process is not None:  # of another store: the old one knows nothing of this lock
                old = self._process
                self._start()
                _dismiss(old, self._trees)

    def started(self, marker: str, pid: int) -> None:
        """A tree is about to be started (`pid` 0), or has been. Raises OSError when no warden can be started."""
        with self._lock:
            self._trees[marker] = pid
            self._tell(f"+ {marker} {pid}\n")

    def ended(self, marker: str) -> None:
        with self._lock:
            self._trees.pop(marker, None)
            if self._process is not None:
                self._tell(f"- {marker}\n")

    def close(self) -> None:
        """Let the warden go, and wait for it a moment."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)

    def _tell(self, line: str) -> None:
        if self._process is None:
            self._start()
            return
        try:
            _write(self._process, line.encode())
        except BrokenPipeError:  # it is gone, and its thread has not noticed yet
            self._start()

    def _start(self) -> None:
        source = Path(warden.__file__).read_bytes() + b"\nwatch(sys.stdin.buffer)\n"
        self._locks = {lock: descriptor for lock, descriptor in self._locks.items() if _identity(descriptor) == lock}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))", str(len(source))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # Without the marker of a tree that this runner itself may be part of: the warden must outlive it.
            env={name: value for name, value in os.environ.items() if name != warden.MARKER},
            start_new_session=True,
            pass_fds=[*self._locks.values()],
            bufsize=0,
        )
        with contextlib.suppress(BrokenPipeError):
            _write(process, source + "".join(f"+ {marker} {pid}\n" for marker, pid in self._trees.items()).encode())
        self._process = process
        threading.Thread(target=self._guard, args=[process], name="agentctl-warden", daemon=True).start()

    def _guard(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a warden; if it was still needed, start the next one."""
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        with self._lock:
            if self._process is not process or self._closed:
                return
            self._process = None
            stopped = [pid for pid in self._trees.values() if pid]
            for pid in stopped:
                _signal(pid, signal.SIGSTOP)
            try:
                if self._trees:
                    self._start()
            except OSError:  # no descriptor, no process to be had: the next start of a step tries again
                pass
            finally:
                for pid in stopped:
                    _signal(pid, signal.SIGCONT)


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    os.write(process.stdin.fileno(), data)


def _dismiss(process: subprocess.Popen[bytes], trees: dict[str, int]) -> None:
    """End a warden that was replaced while it lived: it must kill nothing."""
    with contextlib.suppress(BrokenPipeError):
        _write(process, "".join(f"- {marker}\n" for marker in trees).encode())
    if process.stdin is not None:
        process.stdin.close()


def _signal(session: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.killpg(session, number)


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Which file is open there; None: none any more, its store is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


WARDEN = WardenProcess()
atexit.register(WARDEN.close)
