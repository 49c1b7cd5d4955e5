"""What holds for the command line as a whole: help, errors, which run `last` means, text from outside."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import Any

import pytest
from waiting import eventually

FIRST_COMMANDS = ("run", "resume", "history", "show", "graph", "logs", "serve", "validate", "init", "test", "send", "approve")
ASKS = "loop: asks\nsteps: [{id: wait, wait: {event: go, if: event.data.n == 1}}]\n"


def in_terminal(repository: Any, *arguments: str) -> str:
    """What a command prints on a terminal of 80 columns, without colour codes."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(repository), "COLUMNS": "80", "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-m", "agentctl", *arguments], stdout=slave, stderr=slave, env=environment):
        os.close(slave)
        shown = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            shown += data
    os.close(master)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


# --- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", FIRST_COMMANDS)
def test_the_commands_that_a_newcomer_meets_have_two_examples(agentctl, command):
    shown = agentctl(command, "-h").out
    examples = re.findall(rf"^ +(agentctl {command}\b.*)$", shown.partition("Examples:")[2], re.MULTILINE)
    assert len(examples) == 2, shown


def test_help_on_a_terminal_shows_types_and_nothing_for_flags(repository):
    shown = in_terminal(repository, "history", "-h")
    assert re.search(r"--limit +INTEGER", shown)
    assert "<bool>" not in shown
    assert "<str>" not in in_terminal(repository, "show", "-h")
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    "command",
    ["schedule backfill", "state set", "state get", "state unset", "service install", "service print"],
)
def test_a_sub_command_has_help_of_its_own(agentctl, command):
    group, name = command.split()
    assert agentctl(group, name, "--help").out.startswith(f"Usage: agentctl {command} [OPTIONS]")
    assert re.search(rf"^  {name} +\S", agentctl(group, "-h").out, re.MULTILINE)


def test_the_name_of_a_loop_may_come_before_the_sub_command(agentctl, project):
    project.write("loops/quiet.yaml", "loop: quiet\nsteps: [{set: {x: 1}}]\n")
    assert agentctl("state", "quiet", "set", "n", "1", "--json").json == agentctl("state", "quiet", "--json").json == {"n": 1}


# --- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_in_json_is_one_document_and_one_line_for_people(agentctl, project):
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{set: {x: '${{ nope }}', y: '${{ nope }}'}}]\n")
    for arguments, code in ((("show", "x"), 4), (("frob",), 2), (("run", "bad"), 2)):
        result = agentctl(*arguments, "--json")
        assert result.code == code
        message = result.json["error"]["message"]
        assert result.err.splitlines()[0].startswith(f"error: {message.splitlines()[0]}")
        assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "\udcff"), ("show", "\udcff"), ("run", "quiet", "-i", "x=\udcff"), ("send", "go", "-d", '"\udcff"'),
        ("approve", "last", "--comment", "\udcff"), ("feedback", "last", "good", "--note", "\udcff"), ("state", "\udcff"),
        ("history", "--loop", "\udcff"), ("validate", "\udcff"), ("cancel", "last", "--reason", "\udcff"), ("\udcff",),
    ],
)  # fmt: skip
def test_an_argument_that_is_not_utf8_is_a_usage_error(agentctl, project, arguments):
    result = agentctl(*arguments, "--json")
    assert (result.code, result.json["error"]["type"]) == (2, "usage")
    assert "not a text in UTF-8" in result.err
    assert not project.store.exists()


def test_from_a_folder_that_is_gone_nothing_is_created(repository, project, tmp_path):
    project.write("loops/quiet.yaml", "loop: quiet\nsteps: [{set: {x: 1}}]\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir '{gone}'; exec '{sys.executable}' -m agentctl run '{project.root}/loops/quiet.yaml'"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(["sh", "-c", script], cwd=gone, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "the current folder is gone" in done.stderr) == (2, True)
    assert not project.store.exists()


# --- which run, which version, which secrets ---------------------------------------------------------------------------


def test_last_is_the_newest_run_that_a_person_started_and_says_so(agentctl, project):
    project.write("loops/quiet.yaml", "loop: quiet\nsteps: [{set: {x: 1}}]\n")
    project.write("loops/heard.yaml", "loop: heard\ntriggers: [{event: go}]\nsteps: [{set: {x: 1}}]\n")
    by_hand = agentctl("run", "quiet", "--json").json["run_id"]
    [triggered] = agentctl("send", "go", "--json").json["started"]
    shown = agentctl("show", "last", "--json")
    assert shown.json["run"]["run_id"] == by_hand != triggered
    assert shown.err == f"last: run {by_hand} of quiet\n"


def test_without_a_run_by_hand_there_is_no_last_one(agentctl, project):
    project.write("loops/heard.yaml", "loop: heard\ntriggers: [{event: go}]\nsteps: [{set: {x: 1}}]\n")
    agentctl("send", "go")
    assert agentctl("show", "last").code == 4


def test_a_resume_says_that_the_file_has_changed_and_what_takes_the_edit(agentctl, project):
    text = "loop: bad\nsteps: [{id: a, set: {x: 1}}, {id: b, fail: no}]\n"
    file = project.write("loops/bad.yaml", text)
    agentctl("run", "bad")
    assert "--latest" not in agentctl("resume", "last", "--plan").err
    file.write_text(text.replace("fail: no", "set: {y: 2}"))
    for arguments in (("--plan",), ()):
        told = agentctl("resume", "last", *arguments).err
        assert "loops/bad.yaml has changed since the run began" in told
        assert "--latest" in told
    assert agentctl("resume", "last", "--latest").code == 0


def test_secrets_that_are_not_set_are_named_by_validate_doctor_and_run(agentctl, project):
    project.write("loops/keys.yaml", """
        loop: keys
        steps:
          - shell: [echo, done]
            env: {MAYBE: "${{ secrets.MAYBE | default('') }}", TOKEN: "${{ secrets.NO_SUCH_TOKEN }}"}
    """)  # fmt: skip
    [problem] = agentctl("validate", "--json").json
    assert (problem["code"], problem["severity"], problem["line"]) == ("unset-secret", "warning", 4)
    [finding] = [one for one in agentctl("doctor", "--json").json if one["check"] == "secrets.unset"]
    assert (finding["status"], "NO_SUCH_TOKEN" in finding["message"]) == ("warning", True)
    assert agentctl("run", "keys").err.splitlines()[0] == "note: the secret NO_SUCH_TOKEN is not set; steps that use it will fail"
    project.write(".env", "NO_SUCH_TOKEN=abcdefgh\n")
    assert agentctl("validate", "--json").json == []
    assert agentctl("run", "keys").code == 0


def test_validate_without_a_path_checks_the_project_from_anywhere_in_it(agentctl, project):
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{sett: 1}]\n")
    agentctl.cwd = project.root / "loops"
    result = agentctl("validate", "--json")
    assert (result.code, {problem["file"] for problem in result.json}) == (2, {"loops/bad.yaml"})


# --- results -----------------------------------------------------------------------------------------------------------


def test_an_event_that_the_wait_refuses_is_not_delivered(agentctl, project):
    project.write("loops/asks.yaml", ASKS)
    run_id = agentctl("run", "asks", "--no-wait", "--json").json["run_id"]
    assert agentctl("send", "go", "-d", '{"n": 2}', "--json").json["delivered"] == []
    assert agentctl("send", "go", "-d", '{"n": 1}', "--json").json["delivered"] == [run_id]


def test_a_byte_order_mark_before_json_is_skipped(agentctl, project):
    project.write("loops/mail.yaml", "loop: mail\ninput: {to: {type: string}}\nsteps: [{set: {to: '${{ input.to }}'}}]\n")
    file = project.root / "in.json"
    file.write_bytes(b'\xef\xbb\xbf{"to": "ada"}')
    assert agentctl("run", "mail", "--input-file", file, "--json").json["output"] == {"to": "ada"}
    assert agentctl("send", "any.event", "-d", f"@{file}").code == 0


def test_a_recovered_step_shows_what_it_recovered_from(agentctl, project):
    project.write("loops/saved.yaml", "loop: saved\nsteps: [{id: try, fail: boom, fallback: [{set: {x: 1}}]}]\n")
    agentctl("run", "saved")
    step = agentctl("show", "last", "--json").json["steps"][0]
    assert (step["status"], step["output"]) == ("recovered", {"x": 1})
    assert (step["error"]["message"], step["error"]["step"], step["error"]["attempts"]) == ("boom", "try", 1)


def test_a_resumed_run_that_has_to_queue_is_queued_and_not_failed(agentctl, project):
    project.write("loops/one.yaml", """
        loop: one
        input: {fail: {type: boolean, default: false}}
        concurrency: 1
        steps: [{if: input.fail, fail: no}, {wait: 1h}]
    """)  # fmt: skip
    failed = agentctl("run", "one", "-i", "fail=true", "--json").json["run_id"]
    assert agentctl("run", "one", "--no-wait").code == 3
    resumed = agentctl("resume", failed, "--no-wait", "--json")
    assert (resumed.code, resumed.json["status"], resumed.json["error"]) == (3, "queued", None)


def test_a_run_that_another_command_drives_names_its_process(agentctl, project):
    project.write("loops/slow.yaml", "loop: slow\nsteps: [{shell: 'echo > begun; sleep 60'}]\n")
    process = agentctl.start("run", "slow")
    eventually((project.root / "begun").exists)
    resumed = agentctl("resume", "last", "--json")
    assert (resumed.code, resumed.json["error"]["type"]) == (5, "store.busy")
    assert f"process {process.pid}" in resumed.json["error"]["message"]
    assert agentctl("cancel", "last").code == 0
    assert process.wait(timeout=30) == 1


def test_an_answered_approval_is_not_among_those_to_choose_from(agentctl, project):
    project.write("loops/two.yaml", "loop: two\nsteps: [{id: a, needs: [], approve: A}, {id: b, needs: [], approve: B}]\n")
    agentctl("run", "two", "--no-wait")
    assert agentctl("approve", "last", "--json").code == 2
    assert agentctl("approve", "last", "a").code == 0
    assert "step b of run" in agentctl("approve", "last").err
    assert "answered already" in agentctl("approve", "last").err


HIDDEN = "a\u034fb\u2800c\u3164d\uffa0e\ufe0ff\u200dg\u00adh"


def test_characters_that_cannot_be_seen_are_written_out_where_a_person_signs(agentctl, project):
    form = {"field": {"type": "string", "description": HIDDEN, "default": HIDDEN, "enum": [HIDDEN]}}
    approve = json.dumps({"message": HIDDEN, "show": {"to": HIDDEN}, "form": form})
    project.write("loops/sign.yaml", f"loop: sign\nsteps: [{{id: sign, approve: {approve}}}]\n")
    asked = agentctl("run", "sign", "--no-wait").err
    for shown in (asked, agentctl("inbox").out, agentctl("approve", "last").err):
        assert not set(HIDDEN) & set(shown) - set("abcdefgh")
        assert shown.count("\\u{34f}") == 5


def test_export_and_json_steer_no_terminal(agentctl, project):
    text = "\x9b2J\u202eevil\u2066"
    project.write("loops/odd.yaml", f"loop: odd\nsteps: [{{set: {{x: {json.dumps(text)}}}}}]\n")
    assert agentctl("run", "odd", "--json").json["output"] == {"x": text}
    for arguments in (("export",), ("show", "last", "--json")):
        printed = agentctl(*arguments).out
        assert not set(text) & set(printed) - set("2Jevil")
        assert "\\u202eevil" in printed
