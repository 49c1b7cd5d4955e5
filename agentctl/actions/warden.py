"""Finding and killing a process with everything it started; also the source of the warden, which does so when a runner is killed.

A step's tree is, on Linux: every process whose session or group is the step's (each is started in a session of its own), every
process whose environment holds the step's marker, and all descendants of these. So a grandchild that called `setsid`, or whose
parent is gone, is found. What escapes is a process that did both *and* dropped its environment.
Elsewhere (macOS) there is no cheap look at another process's environment: the tree is the group and its descendants.

The warden is a small Python process, one for each runner. It starts with the first process of the runner, which reports every
tree to it through a pipe. When the pipe closes before a tree was reported as ended, the runner was killed: the warden kills the
tree.
It reads its own source from the pipe, so that no command line of it names the product: `pkill -f` must not find both.
Only the standard library, and as little of it as can be: this runs under `python -I -S`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

TYPE_CHECKING = False  # `typing` itself takes longer to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Seen = tuple[int, int, tuple[int, ...], Callable[[], bytes]]

MARKER = "AGENTCTL_PROCESS"  # name of the environment variable that marks a step's tree


def members(session: int, marker: bytes) -> set[int]:
    """Pids of the living processes of a tree. `session`: pid of the process that was started, 0 if not known."""
    return set(_tree(session, marker))


def _tree(session: int, marker: bytes) -> dict[int, int]:
    """Pid -> pid of its parent, for the living processes of a tree."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for pid, parent, ids, environment in _processes():
        parents[pid] = parent
        if (session and session in ids) or (marker and marker in environment()):
            found.add(pid)
    grown = bool(found)
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return {pid: parents[pid] for pid in found - {os.getpid()}}


def _processes() -> Iterator[Seen]:
    """(pid, parent, (group, session), function that reads the environment) of every process that is not a zombie."""
    if not os.path.isdir("/proc/self"):
        yield from _listed_by_ps()
        return
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        stat = _read(f"/proc/{name}/stat")
        fields = stat[stat.rfind(b")") + 2 :].split()
        if len(fields) > 3 and fields[0] not in (b"Z", b"X"):
            ids = (int(fields[2]), int(fields[3]))
            yield int(name), int(fields[1]), ids, _Environment(f"/proc/{name}/environ")


class _Environment:
    """Reads it when called: not every process has to be asked."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> bytes:
        return _read(self.path)


def _listed_by_ps() -> Iterator[Seen]:
    import subprocess

    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,pgid=,stat="], stdout=subprocess.PIPE, check=False).stdout
    for line in listed.splitlines():
        pid, parent, group, state = line.split(None, 3)
        if not state.startswith(b"Z"):
            yield int(pid), int(parent), (int(group),), bytes


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it ended meanwhile, or is somebody else's
        return b""


def kill_tree(session: int, marker: bytes) -> None:
    """Stop the whole tree, then kill it: no process of it sees another one die and runs its next command.

    Repeat until two scans in a row find no process. Return after 2 s at the latest.
    """
    deadline, quiet = time.monotonic() + 2, 0
    while quiet < 2 and time.monotonic() < deadline:
        living = _stopped(session, marker, deadline)
        for pid in _children_first(living):
            _send(pid, signal.SIGKILL)
        quiet = 0 if living else quiet + 1
        time.sleep(0.002)  # a process in the middle of exec shows no environment: look again a moment later


def _stopped(session: int, marker: bytes, deadline: float) -> dict[int, int]:
    """Stop every process of the tree; scan again until no new one is found, since one may have forked meanwhile."""
    if session:
        with contextlib.suppress(OSError):
            os.killpg(session, signal.SIGSTOP)
    known: dict[int, int] = {}
    while time.monotonic() < deadline:
        tree = _tree(session, marker)
        new = tree.keys() - known.keys()
        known = tree
        if not new:
            break
        for pid in new:
            _send(pid, signal.SIGSTOP)
    return known


def _children_first(tree: dict[int, int]) -> list[int]:
    """Pids in the order in which to kill: the kernel wakes stopped children whose parent dies."""

    def depth(pid: int) -> int:
        steps = 0
        while pid in tree and steps < len(tree):
            pid, steps = tree[pid], steps + 1
        return steps

    return sorted(tree, key=depth, reverse=True)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def watch(pipe: Iterable[bytes]) -> None:
    """The warden's life. Lines: `+ MARKER PID` a tree was started (PID 0: is about to be), `- MARKER` it has ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    trees: dict[bytes, int] = {}
    for line in pipe:
        word, marker, *pid = line.split()
        if word == b"+":
            trees[marker] = int(pid[0])
        else:
            trees.pop(marker, None)
    for marker, session in trees.items():
        kill_tree(session, MARKER.encode() + b"=" + marker)
    os._exit(0)
