"""`agentctl approve`, `reject` and `inbox`, and the question that `run` asks on a terminal."""

from __future__ import annotations

import json
import os
import pty
import pwd
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

SHIP = """
    loop: ship
    steps:
      - id: sign
        approve:
          message: Ship it?
          show: {order: 7, note: "${{ vars.note }}"}
          form: {count: {type: integer}, note: {type: string, default: none}}
"""
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def asking(project, agentctl) -> str:
    """The id of a run that waits for a signature."""
    project.write("agentctl.yaml", "vars: {note: plain}\n")
    project.write("loops/ship.yaml", SHIP)
    result = agentctl("run", "ship", "--no-wait", "--json")
    assert result.code == 3, result.err
    return result.json["run_id"]


def test_the_default_of_a_field_is_evaluated_and_has_to_fit(project, agentctl):
    project.write(
        "loops/pay.yaml",
        """
        loop: pay
        input: {amount: {default: 5}}
        steps:
          - id: sign
            approve: {message: Pay?, form: {amount: {type: integer, default: "${{ input.amount }}"}}}
        """,
    )
    run = agentctl("run", "pay", "--no-wait", "--json").json["run_id"]
    assert agentctl("approve", run, "--json").code == 0
    assert agentctl("resume", run, "--json").json["output"]["data"] == {"amount": 5}
    failed = agentctl("run", "pay", "-i", "amount=much", "--json")
    assert (failed.code, failed.json["error"]["type"]) == (1, "input.invalid")
    assert "the default of the form's field 'amount'" in failed.json["error"]["message"]


def test_approve_signs_and_resume_goes_on(agentctl, asking):
    signed = agentctl("approve", "last", "--data", "count=3", "--comment", "fine", "--json")
    assert (signed.code, signed.json) == (0, {"run_id": asking, "status": "waiting"})
    assert f"agentctl resume {asking}" in signed.err
    resumed = agentctl("resume", asking, "--json")
    assert resumed.code == 0, resumed.err
    output = resumed.json["output"]
    assert {**output, "at": ""} == {
        "approved": True,
        "by": ME,
        "comment": "fine",
        "data": {"count": 3, "note": "none"},
        "at": "",
    }


def test_who_answered_and_when_is_in_the_journal(agentctl, asking):
    agentctl("approve", asking, "sign", "--data", "count=3")
    agentctl("resume", asking)
    [given] = [event for event in agentctl("show", asking, "--json").json["events"] if event["type"] == "ApprovalGiven"]
    assert (given["by"], given["approved"], given["path"]) == (ME, True, "sign")
    assert given["at"].startswith("20")


def test_reject_needs_no_form_and_fails_the_step(agentctl, asking):
    assert agentctl("reject", asking, "--comment", "not today").code == 0
    resumed = agentctl("resume", asking, "--json")
    assert (resumed.code, resumed.json["error"]["type"]) == (1, "approval.rejected")
    assert resumed.json["error"]["message"] == f"rejected by {ME}: not today"


def test_a_foreground_run_goes_on_when_another_process_signs(agentctl, project):
    project.write("loops/ship.yaml", "loop: ship\nsteps: [{id: sign, approve: 'Ship it?'}]\n")
    process = agentctl.start("run", "ship", "--json")
    while "reject:" not in (line := process.stderr.readline()):
        assert line, "the run ended without asking"
    assert agentctl("approve", "last").code == 0
    out, err = process.communicate(timeout=30)
    assert (process.returncode, '"approved": true' in out) == (0, True), err


def test_without_a_terminal_run_says_what_is_asked_and_how_to_answer(agentctl, project):
    project.write("agentctl.yaml", "vars: {note: plain}\n")
    project.write("loops/ship.yaml", SHIP)
    err = agentctl("run", "ship", "--no-wait").err
    run_id = agentctl("history", "--json").json[0]["run_id"]
    assert "sign  waiting for approval" in err
    assert "    Ship it?\n" in err
    assert "    count: a whole number\n" in err
    assert "    note: a text, default none\n" in err
    assert f"approve: agentctl approve {run_id} sign --data count=..." in err
    assert f"reject:  agentctl reject {run_id} sign" in err


@pytest.mark.parametrize("command", ["run", "approve", "inbox"])
def test_what_is_signed_is_shown_in_full_with_its_control_characters_visible(agentctl, project, command):
    trick = "pay 1 EUR\r\x1b[2K\u202epay\u200b 2\U000e0041 EUR"
    lines = [f"line {number} of the text" for number in range(3000)]
    project.write("agentctl.yaml", "vars: {}\n")
    project.write(
        "loops/ship.yaml",
        "loop: ship\ninput: {text: {type: string}}\nsteps: [{approve: {message: m, show: '${{ input.text }}'}}]\n",
    )
    project.write("input.json", json.dumps({"text": "\n".join([*lines, trick])}))
    result = agentctl("run", "ship", "--input-file", "input.json", "--no-wait")
    if command != "run":
        result = agentctl(command, *(["last"] if command == "approve" else []))
    shown = result.err + result.out
    assert all(f"│ {line}\n" in shown for line in lines)
    assert "│ pay 1 EUR\\r\\x1b[2K\\u202epay\\u200b 2\\u{e0041} EUR\n" in shown


def test_a_second_answer_is_refused(agentctl, asking):
    assert agentctl("approve", asking, "--data", "count=3").code == 0
    second = agentctl("reject", asking, "--json")
    assert second.code == 2
    assert "answered already" in second.json["error"]["message"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "count=... (a whole number)"),
        (["count=many"], "field 'count' has to be a whole number, not 'many'"),
        (["count=3", "cuont=3"], "has no field 'cuont'; did you mean 'count'?"),
        (["count"], "NAME=VALUE"),
    ],
)
def test_a_form_that_is_filled_in_wrong_is_refused(agentctl, asking, data, said):
    result = agentctl("approve", asking, *(word for pair in data for word in ("--data", pair)), "--json")
    assert result.code == 2
    assert said in result.json["error"]["message"]
    assert agentctl("inbox", "--json").json != []


def test_of_several_approvals_the_step_has_to_be_named(agentctl, project):
    project.write(
        "loops/many.yaml",
        """
        loop: many
        steps:
          - id: each
            foreach: [a, b]
            max_parallel: 2
            steps: [{id: sign, approve: "Ship ${{ item }}?"}]
        """,
    )
    run_id = agentctl("run", "many", "--no-wait", "--json").json["run_id"]
    for arguments in (["approve", run_id], ["approve", run_id, "sign"]):
        result = agentctl(*arguments, "--json")
        assert result.code == 2
        assert "each[0].sign" in result.json["error"]["message"]
        assert "each[1].sign" in result.json["error"]["message"]
    assert agentctl("approve", run_id, "each[1].sign").code == 0
    assert [entry["step"] for entry in agentctl("inbox", "--json").json] == ["each[0].sign"]


def test_a_step_that_asks_nothing_is_not_found(agentctl, asking):
    result = agentctl("approve", asking, "sing", "--json")
    assert (result.code, result.json["error"]["type"]) == (4, "not_found")
    assert "did you mean 'sign'?" in result.json["error"]["message"]


def test_a_run_that_asks_nothing_is_a_usage_error(agentctl, project):
    project.write("loops/calm.yaml", "loop: calm\nsteps: [{set: {x: 1}}]\n")
    agentctl("run", "calm")
    result = agentctl("approve", "last", "--json")
    assert (result.code, result.json["error"]["type"]) == (2, "usage")


def test_the_inbox_is_oldest_first_with_the_exact_commands(agentctl, project):
    project.write("loops/one.yaml", "loop: one\nsteps: [{id: sign, approve: 'One?'}]\n")
    runs = [agentctl("run", "one", "--no-wait", "--json").json["run_id"] for _ in range(2)]
    entries = agentctl("inbox", "--json").json
    assert [entry["run_id"] for entry in entries] == runs
    assert entries[0]["commands"] == {
        "approve": f"agentctl approve {runs[0]} sign",
        "reject": f"agentctl reject {runs[0]} sign",
    }
    assert (entries[0]["kind"], entries[0]["subject"]["message"], entries[0]["step"]) == ("approval", "One?", "sign")
    people = agentctl("inbox")
    assert people.out.index(runs[0]) < people.out.index(runs[1])


def test_an_empty_inbox_is_no_error(agentctl, project):
    assert (agentctl("inbox", "--json").json, agentctl("inbox").code) == ([], 0)


@pytest.mark.parametrize("trick", ["", "env -u AGENTCTL_RUN_ID "])
def test_a_step_cannot_approve(agentctl, project, asking, trick):
    script = f"{trick}{sys.executable} -m agentctl approve {asking} --data count=1 2>&1"
    project.write("loops/cheat.yaml", f"loop: cheat\nsteps: [{{shell: {{run: '{script}', ok_codes: [2]}}}}]\n")
    result = agentctl("run", "cheat", "--json")
    assert result.code == 0, result.err
    assert "steps sign nothing" in result.json["output"]
    assert [entry["run_id"] for entry in agentctl("inbox", "--json").json] == [asking]


def test_an_approval_inside_a_skill_is_answered_at_the_skills_run(agentctl, project):
    project.write("skills/careful.yaml", "skill: careful\nsteps: [{id: sign, approve: 'Sure?'}]\n")
    project.write("loops/outer.yaml", "loop: outer\nsteps: [{id: call, skill: careful}]\n")
    outer = agentctl("run", "outer", "--no-wait", "--json").json["run_id"]
    [entry] = agentctl("inbox", "--json").json
    signed = agentctl("approve", entry["run_id"])
    assert f"agentctl resume {outer}" in signed.err
    resumed = agentctl("resume", outer, "--json")
    assert (resumed.code, resumed.json["status"]) == (0, "succeeded"), resumed.err


# --- on a terminal -----------------------------------------------------------------------------------------------------


class Terminal:
    """A person at a terminal: what it shows, and what is typed."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.descriptor = descriptor
        self.process = process
        self.shown = ""
        self._looked = 0  # up to where `until` has read

    def until(self, word: str, patience: float = 30) -> None:
        """Wait until the word is on the screen, after the last one that was waited for."""
        end = time.monotonic() + patience
        while (found := self.shown.find(word, self._looked)) < 0:
            assert time.monotonic() < end, self.shown
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.shown += os.read(self.descriptor, 4096).decode(errors="replace")
        self._looked = found + len(word)

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def end(self, patience: float = 30) -> int:
        """The exit code, once it has ended."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.descriptor, 4096).decode(errors="replace")
                except OSError:  # the other side is closed
                    return self.process.wait(patience)
        raise AssertionError(f"it did not end:\n{self.shown}")


@pytest.fixture
def terminal(agentctl):
    @contextmanager
    def opened(*arguments: str) -> Iterator[Terminal]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "agentctl", *arguments],
            cwd=agentctl.cwd,
            env={**agentctl.environment(), "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            os.close(ours)

    return opened


def test_on_a_terminal_run_asks_for_yes_comment_and_form(agentctl, project, terminal):
    project.write("agentctl.yaml", "vars: {note: plain}\n")
    project.write("loops/ship.yaml", SHIP)
    with terminal("run", "ship") as person:
        person.until("approve this? [y/n] ")
        assert "Ship it?" in person.shown
        person.type("perhaps\n")
        person.until("approve this? [y/n] ")
        person.type("y\n")
        person.until("comment")
        person.type("well\n")
        person.until("count (a whole number): ")
        person.type("many\n")
        person.until("not 'many'")
        person.until("count (a whole number): ")
        person.type("3\n")
        person.until("note (a text, default none): ")
        person.type("\n")
        assert person.end() == 0, person.shown
    [step] = agentctl("show", "last", "--json").json["steps"]
    assert (step["output"]["by"], step["output"]["comment"], step["output"]["data"]) == (ME, "well", {"count": 3, "note": "none"})


def test_the_question_does_not_hold_up_the_rest_and_goes_away_when_somebody_else_answers(agentctl, project, terminal):
    project.write(
        "loops/ship.yaml",
        """
        loop: ship
        steps:
          - {id: sign, approve: "Ship it?"}
          - {id: tick, needs: [], repeat: {until: index == 5, max: 6, every: 50ms}, steps: [{set: {i: "${{ index }}"}}]}
          - {id: mark, needs: [tick], shell: "echo done > mark"}
        """,
    )
    with terminal("run", "ship") as person:
        person.until("approve this? [y/n] ")
        while not (project.root / "mark").exists():
            assert person.process.poll() is None, person.shown
            time.sleep(0.01)
        assert agentctl("reject", "last", "--comment", "from elsewhere").code == 0
        person.until("waits for this answer no more")
        assert person.end() == 1, person.shown
    assert "from elsewhere" in agentctl("show", "last", "--json").json["run"]["error"]["message"]


def test_an_interrupt_at_the_question_leaves_the_run_to_be_resumed(agentctl, project, terminal):
    project.write("loops/ship.yaml", "loop: ship\nsteps: [{id: sign, approve: 'Ship it?'}]\n")
    with terminal("run", "ship") as person:
        person.until("approve this? [y/n] ")
        person.process.send_signal(signal.SIGINT)
        assert person.end() == 130, person.shown
    assert "agentctl resume" in person.shown
    assert agentctl("approve", "last").code == 0
    assert agentctl("resume", "last").code == 0


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("\n", 2, 1)])
def test_on_a_terminal_approve_asks_once_more(agentctl, asking, terminal, typed, code, left):
    with terminal("approve", asking, "--data", "count=1") as person:
        person.until("approve this? [y/N] ")
        assert '"order": 7' in person.shown
        person.type(typed)
        assert person.end() == code, person.shown
    assert len(agentctl("inbox", "--json").json) == left


def test_a_signature_under_what_is_shown_no_more_is_refused(agentctl, project, asking, terminal):
    """While the person reads, the step comes to show something else."""
    with terminal("approve", asking, "--data", "count=1") as person:
        person.until("approve this? [y/N] ")
        with closing(sqlite3.connect(project.store, timeout=30)) as connection, connection:
            connection.execute("UPDATE waits SET digest = ?", ("0" * 64,))
        person.type("y\n")
        assert person.end() == 2, person.shown
    assert "shows something else now: nothing was signed" in person.shown
    assert len(agentctl("inbox", "--json").json) == 1


@pytest.mark.parametrize("command", ["approve last", "reject last", "feedback last good", "state set asks x 1"])
def test_a_process_that_a_run_started_can_sign_nothing(agentctl, project, command):
    project.write("loops/asks.yaml", "loop: asks\nsteps: [{approve: sure?}]\n")
    agentctl("run", "asks", "--no-wait")
    result = agentctl(*command.split(), "--json", env={"AGENTCTL_RUN_ID": "some-run"})
    assert (result.code, result.json["error"]["type"]) == (2, "permission.denied")
