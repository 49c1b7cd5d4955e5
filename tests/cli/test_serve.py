"""`agentctl serve`, as processes: it drives what others write, stops with grace, and goes on where a process ended."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import eventually

PATIENCE = 30.0  # seconds until something that should happen counts as not happening


class Process:
    """A process of agentctl, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return "".join(self.said)

    def ready(self) -> Process:
        eventually(lambda: "ready: " in self.log or self.process.poll() is not None)
        assert "ready: " in self.log, self.log
        return self

    def end(self) -> tuple[int, str]:
        """Wait for the exit code; what it wrote to stdout."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        return self.process.wait(PATIENCE), out

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        return code


@pytest.fixture
def serve(agentctl) -> Callable[..., Process]:
    return lambda *arguments, env=None: Process(agentctl.start("serve", *arguments, env=env))


def status(agentctl: Any, run_id: str) -> str:
    row: str = agentctl("show", run_id, "--json").json["run"]["status"]
    return row


def events(agentctl: Any, run_id: str) -> list[str]:
    return [event["type"] for event in agentctl("show", run_id, "--json").json["events"]]


QUICK = """
    loop: quick
    steps:
      - id: one
        shell: echo one
      - id: two
        shell: echo two
"""
# Waits until the test makes a file, so that the test says when a step ends.
HANDS = """
    loop: hands
    steps:
      - id: first
        shell: touch began; until test -e go; do sleep 0.02; done; echo done >> times
      - id: second
        shell: echo second
"""


def test_a_detached_run_is_driven_at_once(project, agentctl, serve):
    project.write("loops/quick.yaml", QUICK)
    serving = serve().ready()
    queued = agentctl("run", "quick", "--detach")
    assert "agentctl serve" in queued.err
    assert "agentctl resume" not in queued.err
    run_id = queued.out.strip()
    eventually(lambda: status(agentctl, run_id) == "succeeded")
    assert f"quick {run_id} succeeded" in serving.log
    assert serving.stop() == 0
    assert serving.log.endswith("stopped\n")


def test_what_was_queued_and_what_waits_is_taken_up_when_it_starts(project, agentctl, serve):
    project.write("loops/quick.yaml", QUICK)
    project.write("loops/napping.yaml", "loop: napping\nsteps:\n  - wait: 1s\n  - id: after\n    set: {x: 1}\n")
    queued = agentctl("run", "quick", "--detach").out.strip()
    waiting = agentctl("run", "napping", "--no-wait", "--json").json["run_id"]
    serve().ready()
    eventually(lambda: status(agentctl, queued) == "succeeded")
    eventually(lambda: status(agentctl, waiting) == "succeeded")


def test_events_approvals_and_cancellations_of_other_commands_move_waiting_runs(project, agentctl, serve):
    project.write(
        "loops/asks.yaml",
        """
        loop: asks
        steps:
          - id: event
            wait: {event: go}
          - id: sign
            approve: "may I?"
          - id: rest
            wait: 7d
        """,
    )
    serve().ready()
    run_id = agentctl("run", "asks", "--detach").out.strip()
    eventually(lambda: status(agentctl, run_id) == "waiting")
    agentctl("send", "go")
    eventually(lambda: agentctl("inbox", "--json").json)
    signed = agentctl("approve", run_id)
    assert signed.err.endswith("agentctl serve is driving it\n")
    eventually(lambda: [step["status"] for step in agentctl("show", run_id, "--json").json["steps"]][1] == "succeeded")
    cancelled = agentctl("cancel", run_id)
    assert "agentctl serve is driving it" in cancelled.err
    eventually(lambda: status(agentctl, run_id) == "cancelled")


def test_a_second_serve_names_the_first_and_exits_5(project, agentctl, serve):
    first = serve().ready()
    second = agentctl("serve")
    assert (second.code, f"by process {first.pid}" in second.err) == (5, True)
    assert first.stop(signal.SIGINT) == 0
    serve().ready()


def test_serve_ends_when_its_store_is_removed(project, serve):
    serving = serve().ready()
    shutil.rmtree(project.root / ".agentctl")
    assert serving.end()[0] == 5
    assert eventually(lambda: "was removed while it was in use" in serving.log)


# --- stopping ----------------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_running_step_end_and_the_next_serve_goes_on(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serving = serve().ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    serving.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping" in serving.log)
    (project.root / "go").touch()
    assert serving.process.wait(PATIENCE) == 0

    assert status(agentctl, run_id) == "interrupted"
    assert events(agentctl, run_id)[-2:] == ["StepStarted", "StepSucceeded"]
    serve().ready()
    eventually(lambda: status(agentctl, run_id) == "succeeded")
    assert "RunRecovered" not in events(agentctl, run_id)
    assert (project.root / "times").read_text() == "done\n"


def test_a_step_that_outlasts_its_grace_is_stopped_and_executes_again(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serving = serve("--grace", "100ms").ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    assert serving.stop() == 0
    assert status(agentctl, run_id) == "interrupted"
    (project.root / "go").touch()
    serve().ready()
    eventually(lambda: status(agentctl, run_id) == "succeeded")


def test_a_second_signal_ends_the_grace(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serving = serve("--grace", "1h").ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    serving.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping" in serving.log)
    assert serving.stop() == 0
    assert status(agentctl, run_id) == "interrupted"


def test_after_kill_9_the_next_serve_recovers_every_run_before_it_is_ready(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serving = serve().ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    assert serving.stop(signal.SIGKILL) == -signal.SIGKILL
    assert status(agentctl, run_id) == "interrupted"

    serve().ready()
    assert events(agentctl, run_id)[-1] == "RunRecovered"
    (project.root / "go").touch()
    eventually(lambda: status(agentctl, run_id) == "succeeded")


def test_a_run_that_lost_its_process_is_found_without_being_told(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serve().ready()
    running = agentctl.start("run", "hands")
    eventually((project.root / "began").exists)
    run_id = agentctl("history", "--json").json[0]["run_id"]
    running.kill()
    running.wait(PATIENCE)
    eventually(lambda: "RunRecovered" in events(agentctl, run_id))
    (project.root / "go").touch()
    eventually(lambda: status(agentctl, run_id) == "succeeded")


# --- beside other commands ---------------------------------------------------------------------------------------------


def test_serve_leaves_a_run_to_the_command_that_made_it(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serving = serve().ready()
    running = agentctl.start("run", "hands")
    eventually((project.root / "began").exists)
    (project.root / "go").touch()
    out, _ = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (0, "second\n")
    assert "hands" not in serving.log.replace("deployed loop 'hands'", "").replace("loops/hands.yaml", "")


def test_resume_follows_a_run_that_serve_drives(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serve().ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    following = Process(agentctl.start("resume", run_id))
    eventually(lambda: "following it" in following.log)
    (project.root / "go").touch()
    assert following.end() == (0, "second\n")
    assert "second" in following.log  # the steps are shown as they go


def test_resume_takes_over_when_the_serve_it_follows_is_gone(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serving = serve().ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    following = Process(agentctl.start("resume", run_id))
    eventually(lambda: "following it" in following.log)
    serving.stop(signal.SIGKILL)
    (project.root / "go").touch()
    assert following.end() == (0, "second\n")


def test_ctrl_c_while_following_leaves_the_run_with_serve(project, agentctl, serve):
    project.write("loops/hands.yaml", HANDS)
    serve().ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)
    following = Process(agentctl.start("resume", run_id))
    eventually(lambda: "following it" in following.log)
    assert following.stop(signal.SIGINT) == 130
    assert "agentctl serve continues it" in following.log
    (project.root / "go").touch()
    eventually(lambda: status(agentctl, run_id) == "succeeded")


def test_a_failed_run_that_is_resumed_is_followed_whoever_takes_it_first(project, agentctl, serve):
    project.write("loops/flaky.yaml", "loop: flaky\nsteps:\n  - shell: test -e mended && echo well\n")
    serve().ready()
    run_id = agentctl("run", "flaky", "--detach").out.strip()
    eventually(lambda: status(agentctl, run_id) == "failed")
    (project.root / "mended").touch()
    resumed = agentctl("resume", run_id)
    assert (resumed.code, resumed.out) == (0, "well\n")


# --- its host ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def notify_socket(address: str) -> Iterator[Callable[[], list[str]]]:
    """What systemd listens on; the function returns all messages so far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + address[1:] if address.startswith("@") else address)
        channel.setblocking(False)
        messages: list[str] = []

        def received() -> list[str]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    messages.append(channel.recv(4096).decode())
            return messages

        yield received


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_told_of_every_turn_of_its_life(project, agentctl, serve, tmp_path, abstract):
    address = f"@agentctl-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with notify_socket(address) as received:
        serving = serve(env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}).ready()
        eventually(lambda: any(message.startswith("READY=1") for message in received()))
        eventually(lambda: received().count("WATCHDOG=1") >= 3)
        serving.process.send_signal(signal.SIGHUP)
        reloading = eventually(lambda: [message for message in received() if message.startswith("RELOADING=1")])
        assert int(reloading[0].split("MONOTONIC_USEC=")[1]) > 0
        eventually(lambda: sum(message.startswith("READY=1") for message in received()) == 2)
        assert serving.stop() == 0
        assert received()[-1].startswith("STOPPING=1") or "STOPPING=1" in "".join(received())


def test_the_processes_of_steps_cannot_speak_to_systemd_in_its_name(project, agentctl, serve, tmp_path):
    project.write("loops/env.yaml", "loop: env\nsteps:\n  - shell: env\n")
    address = str(tmp_path / "notify")
    with notify_socket(address):
        serve(env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000"}).ready()
        run_id = agentctl("run", "env", "--detach").out.strip()
        eventually(lambda: status(agentctl, run_id) == "succeeded")
        seen = agentctl("show", run_id, "--json").json["run"]["output"]
    assert "NOTIFY_SOCKET" not in seen
    assert "WATCHDOG" not in seen


def test_sighup_reads_the_definitions_anew(project, agentctl, serve):
    serving = serve().ready()
    project.write("loops/quick.yaml", QUICK)
    serving.process.send_signal(signal.SIGHUP)
    eventually(lambda: "deployed loop 'quick'" in serving.log and "reloaded" in serving.log)


def test_lines_for_the_journal_carry_priority_and_fields(project, agentctl, tmp_path):
    project.write("loops/bad.yaml", "loop: bad\nsteps:\n  - fail: no luck\n")
    with (tmp_path / "journal").open("w") as journal:
        status_of = os.fstat(journal.fileno())
        command = agentctl._command(("serve",))
        environment = {**agentctl.environment(), "JOURNAL_STREAM": f"{status_of.st_dev}:{status_of.st_ino}"}
        process = subprocess.Popen(command, cwd=project.root, env=environment, stderr=journal, stdout=subprocess.DEVNULL)
        try:
            run_id = agentctl("run", "bad", "--detach").out.strip()
            eventually(lambda: "failed" in (tmp_path / "journal").read_text())
        finally:
            process.terminate()
            process.wait(PATIENCE)
    lines = [line for line in (tmp_path / "journal").read_text().splitlines() if f"run={run_id}" in line]
    assert lines[0].startswith(f"<6>bad {run_id} started logger=agentctl.service.log run={run_id} loop=bad trigger=manual")
    assert lines[1].startswith(f"<4>bad {run_id} failed: no luck ")
    assert "status=failed" in lines[1]
    assert "error=failed" in lines[1]


def test_its_json_document_says_where_it_is(project, agentctl, serve):
    serving = serve("--json", "--listen", "127.0.0.1:0")
    serving.ready()
    assert serving.process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        text += serving.process.stdout.readline()
    document = json.loads(text)
    assert (document["pid"], document["store"]) == (serving.pid, str(project.store))
    assert document["listen"].startswith("http://127.0.0.1:")


# --- no room -----------------------------------------------------------------------------------------------------------


def test_without_room_it_stays_alive_and_goes_on_by_itself_when_there_is_some(project, agentctl, serve):
    """A limit on the size of files stands for a full disk: SQLite and the kernel refuse in the same way."""
    project.write(
        "loops/hands.yaml",
        """
        loop: hands
        steps:
          - id: pay
            effect: once
            shell: touch began; until test -e go; do sleep 0.02; done; echo paid >> paid
          - id: after
            shell: echo after
        """,
    )
    serving = serve().ready()
    run_id = agentctl("run", "hands", "--detach").out.strip()
    eventually((project.root / "began").exists)

    unlimited = resource.prlimit(serving.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    (project.root / "go").touch()
    eventually(lambda: "no room" in serving.log)
    assert serving.process.poll() is None
    other = agentctl("run", "hands", "--detach").out.strip()  # acknowledged by another process, which has room

    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, unlimited)
    eventually(lambda: status(agentctl, run_id) == "succeeded")
    eventually(lambda: status(agentctl, other) == "succeeded")
    assert not {"OutcomeUnknown", "RunRecovered"} & set(events(agentctl, run_id))
    assert (project.root / "paid").read_text() == "paid\npaid\n"
    assert serving.stop() == 0


@pytest.mark.parametrize(
    "arguments",
    [("--workers", "0"), ("--workers", "many"), ("--grace", "30"), ("--log-level", "loud"), ("--listen", "8420")],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_refused(agentctl, arguments):
    refused = agentctl("serve", *arguments)
    assert (refused.code, refused.err.startswith("error: --")) == (2, True)
