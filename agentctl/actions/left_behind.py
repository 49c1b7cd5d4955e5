"""Processes of attempts whose runner and warden died together: the next owner of the run ends them before it continues."""

from __future__ import annotations

import os
from collections.abc import Collection

from agentctl.actions import warden


def end_left_behind(run_id: str, paths: Collection[str]) -> None:
    """Kill what still lives of the steps at `paths` of a run. Linux only: elsewhere no environment can be looked at."""
    for marker in _markers(run_id, {path.encode() for path in paths}):
        warden.kill_tree(0, marker)


def _markers(run_id: str, paths: Collection[bytes]) -> set[bytes]:
    """The markers of their trees, by the variables that each process of a step has."""
    found: set[bytes] = set()
    if not os.path.isdir("/proc/self"):
        return found
    wanted = b"AGENTCTL_RUN_ID=" + run_id.encode()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if wanted not in variables:
            continue
        values = dict(variable.partition(b"=")[::2] for variable in variables)
        if values.get(b"AGENTCTL_STEP") in paths and warden.MARKER.encode() in values:
            found.add(warden.MARKER.encode() + b"=" + values[warden.MARKER.encode()])
    return found
