"""Triggered the unit that `agentctl service install` writes under a real systemd, in a container, and does to it what life does.

By hand, as root, on a Linux with debootstrap and systemd-nspawn:

    python tests/systemd/try_unit.py [--tree FOLDER]

FOLDER is a Debian that is made there when it is missing (by debootstrap, with python3 of the version that runs this script, whose
packages are used in the container, too). What is tried is said line by line; the exit code is 0 when all of it held.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
UNIT = "agentctl-loops.service"
PROJECT = "/srv/loops"
AGENTCTL = """#!/bin/sh
export PYTHONPATH=/opt/agentctl:/opt/packages PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -P -m agentctl "$@"
"""
FILES = {
    "agentctl.yaml": "vars: {}\n",
    "loops/tick.yaml": "loop: tick\ntriggers:\n  - every: 1s\nsteps:\n  - shell: date >>ticks\n",
    "loops/long.yaml": """
loop: long
input:
  seconds: {type: integer, default: 6}
  mark: {type: string}
steps:
  - env: {N: "${{ input.seconds }}"}
    shell: sleep "$N"
  - env: {MARK: "${{ input.mark }}"}
    shell: touch "$MARK"
  - shell: cat "$CREDENTIALS_DIRECTORY/GREETING"
  - shell: touch "$HOME/settled" && ! touch /usr/local/forbidden
""",
}
DROP_IN = "[Service]\nWatchdogSec=6s\nRestartSec=1s\nLoadCredential=GREETING:/etc/credstore/agentctl-loops.GREETING\n"


class Container:
    """A booted systemd, and commands run inside."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        packages = sysconfig.get_paths()["purelib"]
        options = ["--console=pipe", "--register=no", "--keep-unit", "--link-journal=no", "--volatile=overlay"]
        mounts = [f"--bind-ro={REPOSITORY}:/opt/agentctl", f"--bind-ro={packages}:/opt/packages"]
        command = ["systemd-nspawn", "--directory", str(tree), "--boot", *options, *mounts]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        self.leader = until("the container has a first process", self._find_leader)

    def _find_leader(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in map(int, children):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        return None

    def run(self, *argv: str, check: bool = True) -> str:
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        entered = ["nsenter", "--target", str(self.leader), *spaces, "--", *argv]
        done = subprocess.run(entered, capture_output=True, text=True, timeout=120, cwd="/")
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def agentctl(self, *argv: str) -> Any:
        command = ["runuser", "-u", "loops", "--", "sh", "-c", f'cd {PROJECT} && exec agentctl "$@"', "sh", *argv, "--json"]
        return json.loads(self.run(*command))

    def show(self, name: str) -> str:
        return self.run("systemctl", "show", "--property", name, "--value", UNIT).strip()

    def write(self, path: str, text: str) -> None:
        inside = Path(f"/proc/{self.leader}/root{path}")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(text)

    def close(self) -> None:
        """`poweroff` from outside; the container's files go with it."""
        os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.kill(self.leader, signal.SIGKILL)
            self.process.wait(30)


def until(what: str, answer: Callable[[], Any], seconds: float = 60) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = answer()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@contextmanager
def trying(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"ok  {what} ({time.monotonic() - began:.1f} s)", flush=True)


def make_tree(tree: Path) -> None:
    packages = "systemd,systemd-sysv,dbus,python3,ca-certificates,procps"
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(tree)], check=True)


def prepare(box: Container) -> None:
    until("systemd answers", lambda: box.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded"))
    box.run("useradd", "--system", "--no-create-home", "loops")
    box.write("/usr/bin/agentctl", AGENTCTL)
    box.run("chmod", "755", "/usr/bin/agentctl")
    for name, text in FILES.items():
        box.write(f"{PROJECT}/{name}", text)
    box.run("chown", "-R", "loops", PROJECT)
    box.write("/etc/credstore/agentctl-loops.GREETING", "hello from the credential\n")
    box.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", DROP_IN)


def main_process(box: Container) -> int:
    return int(box.show("MainPID"))


def history(box: Container, run_id: str) -> str:
    [status] = [run["status"] for run in box.agentctl("history", "--loop", "long") if run["run_id"] == run_id]
    return str(status)


def start_long(box: Container, seconds: int, mark: str) -> str:
    started = box.agentctl("run", "long", "-i", f"seconds={seconds}", "-i", f"mark={mark}", "--detach")
    run_id = str(started["run_id"])
    until("the run is driven", lambda: history(box, run_id) == "running")
    return run_id


def try_all(box: Container) -> None:
    with trying("install writes the unit, and systemd finds nothing wrong with it"):
        box.run("sh", "-c", f"cd {PROJECT} && agentctl service install")
        assert box.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}") == ""
        box.run("systemctl", "daemon-reload")
    with trying("start returns when serve says that it is ready"):
        box.run("systemctl", "start", UNIT)
        assert box.show("ActiveState") == "active"
    with trying("its loops tick"):
        until("three ticks", lambda: len(box.agentctl("history", "--loop", "tick", "--status", "succeeded")) >= 3)
    with trying("steps work within the walls: shell, files, credential, a home of their own"):
        run_id = start_long(box, 1, "first")
        until("it has ended", lambda: history(box, run_id) in ("succeeded", "failed"))
        shown = box.agentctl("show", run_id)
        assert shown["run"]["status"] == "succeeded", shown["run"]["error"]
        assert "hello" not in json.dumps(shown), "a credential is scrubbed from what is recorded"
    with trying("the watchdog is fed for two of its spans"):
        before = main_process(box)
        time.sleep(13)
        assert (main_process(box), box.show("NRestarts")) == (before, "0")
    with trying("reload takes a changed definition over, in the same process"):
        box.write(f"{PROJECT}/loops/tick.yaml", FILES["loops/tick.yaml"] + "  - set: {new: true}\n")
        box.run("systemctl", "reload", UNIT)
        assert (main_process(box), box.show("ActiveState")) == (before, "active")

        def is_new() -> bool:
            newest = box.agentctl("history", "--loop", "tick", "--status", "succeeded", "--limit", "1")
            return bool(newest and newest[0]["steps_total"] == 2)

        until("a run of the new version", is_new)
    with trying("killed with SIGKILL, it is restarted and its run goes on"):
        run_id = start_long(box, 5, "second")
        box.run("kill", "-KILL", str(main_process(box)))
        until("it is back", lambda: box.show("NRestarts") == "1" and box.show("ActiveState") == "active")
        until("the run has succeeded", lambda: history(box, run_id) == "succeeded")
        types = [event["type"] for event in box.agentctl("show", run_id)["events"]]
        assert "RunRecovered" in types
    with trying("frozen, it is killed by the watchdog and restarted"):
        before = main_process(box)
        box.run("kill", "-STOP", str(before))
        until("it is back", lambda: box.show("NRestarts") == "2" and box.show("ActiveState") == "active", 90)
        assert main_process(box) != before
    with trying("stop lets a running step end, and no process is left"):
        run_id = start_long(box, 4, "third")
        box.run("systemctl", "stop", UNIT)
        assert (box.show("Result"), box.show("ExecMainStatus")) == ("success", "0")
        assert box.run("pgrep", "-u", "loops", check=False) == ""
        steps = {step["path"]: step["status"] for step in box.agentctl("show", run_id)["steps"]}
        assert steps["shell_1"] == "succeeded", steps
    with trying("started again, it goes on with what it left"):
        box.run("systemctl", "start", UNIT)
        until("the run has succeeded", lambda: history(box, run_id) == "succeeded")
    with trying("what it says is in the journal, as structured lines"):
        lines = box.run("journalctl", "--unit", UNIT, "--output", "json", "--no-pager").splitlines()
        assert {json.loads(line)["PRIORITY"] for line in lines} >= {"6"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", type=Path, default=Path("/var/tmp/agentctl-systemd"))
    tree = parser.parse_args().tree
    if not (tree / "usr/bin/systemctl").exists():
        make_tree(tree)
    asking = ["chroot", str(tree), "python3", "-c", "import sys; print(sys.version_info[:2])"]
    inside = subprocess.run(asking, capture_output=True, text=True)
    if inside.stdout.strip() != str(sys.version_info[:2]):
        print(f"the tree has Python {inside.stdout.strip()}; run this with the same version", file=sys.stderr)
        return 2
    box = Container(tree)
    try:
        prepare(box)
        print(f"systemd {box.run('systemctl', '--version').split()[1]} is up", flush=True)
        try_all(box)
    except AssertionError:
        print(box.run("journalctl", "--unit", UNIT, "--no-pager", "--lines", "60", check=False), file=sys.stderr)
        raise
    finally:
        box.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
