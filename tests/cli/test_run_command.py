"""`agentctl run`, as a person or a script meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

GREET = """
    loop: greet
    input: {name: {type: string, default: world}, times: {type: integer, default: 1}}
    steps:
      - set: {text: "hello ${{ input.name }}", times: "${{ input.times }}"}
"""
BREAK = """
    loop: break
    steps:
      - id: first
        set: {a: 1}
      - id: broken
        fail: {type: disk.full, message: "no room left"}
      - id: never
        set: {b: 1}
"""
SLEEP = """
    loop: sleep
    steps:
      - id: before
        set: {a: 1}
      - id: nap
        wait: 1h
"""


@pytest.fixture(autouse=True)
def definitions(project):
    for name, text in (("greet", GREET), ("break", BREAK), ("sleep", SLEEP)):
        project.write(f"loops/{name}.yaml", text)


def test_a_run_that_succeeds_puts_its_output_on_stdout_and_progress_on_stderr(agentctl):
    result = agentctl("run", "greet", "-i", "name=Ada", "-i", "times=3")
    assert result.code == 0, result.err
    assert json.loads(result.out) == {"text": "hello Ada", "times": 3}
    assert "greet  ✓ set_1" in result.err
    assert "greet  ✓ succeeded" in result.err


def test_text_output_is_printed_as_text(agentctl, project):
    project.write("loops/say.yaml", "loop: say\nsteps: [{shell: [printf, 'one\\ntwo']}]\n")
    assert agentctl("run", "say").out == "one\ntwo\n"


def test_json_is_one_document_with_the_outcome(agentctl):
    result = agentctl("run", "loops/greet.yaml", "--json")
    assert result.code == 0, result.err
    assert list(result.json) == ["run_id", "loop", "status", "output", "error"]
    assert (result.json["loop"], result.json["status"], result.json["error"]) == ("greet", "succeeded", None)


def test_a_failed_run_exits_with_1_and_says_where_why_and_what_next(agentctl):
    result = agentctl("run", "break")
    assert result.code == 1
    assert result.out == ""
    assert "error: step broken: disk.full: no room left" in result.err
    assert "agentctl show " in result.err
    assert "agentctl resume " in result.err


def test_a_failed_run_is_a_document_too(agentctl):
    result = agentctl("run", "break", "--json")
    assert result.code == 1
    assert result.json["status"] == "failed"
    assert (result.json["error"]["type"], result.json["error"]["step"]) == ("disk.full", "broken")


def test_inputs_come_from_a_file_and_from_stdin(agentctl, project):
    project.write("in.json", '{"name": "Grace", "times": 2}')
    assert agentctl("run", "greet", "--input-file", "in.json", "--json").json["output"]["text"] == "hello Grace"
    assert agentctl("run", "greet", "--input-file", "-", "--json", stdin='{"times": 5}').json["output"]["times"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-i", "nam=Ada"], "nam"),
        (["-i", "times=012"], "times"),
        (["--input-file", "list.json"], "list.json must hold a JSON object"),
        (["--input-file", "nowhere.json"], "nowhere.json cannot be read"),
        (["--input-file", "broken.json"], "broken.json is not JSON"),
        (["--detach", "--no-wait"], "--detach"),
    ],
)
def test_a_wrong_input_is_refused_before_anything_runs(agentctl, project, arguments, words):
    project.write("list.json", "[1]")
    project.write("broken.json", "{")
    result = agentctl("run", "greet", *arguments)
    assert result.code == 2
    assert words in result.err
    assert agentctl("history", "--json").json == []


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(agentctl):
    result = agentctl("run", "gret")
    assert result.code == 4
    assert "greet" in result.err


@pytest.mark.parametrize("target", ["loops/nothing.yaml", "nothing.yml", "loops/"])
def test_a_file_that_is_not_there_exits_with_4(agentctl, target):
    result = agentctl("run", target, "--json")
    assert result.code == 4
    assert result.json["error"]["type"] == "not_found"


def test_a_definition_with_mistakes_is_shown_with_line_and_caret_and_leaves_no_store(agentctl, project):
    project.write("loops/wrong.yaml", "loop: wrong\nsteps:\n  - sett: {a: 1}\n")
    result = agentctl("run", "wrong")
    assert result.code == 2
    assert "loops/wrong.yaml:3:5: error[" in result.err
    assert "- sett: {a: 1}" in result.err
    assert "^" in result.err
    assert not project.store.exists()


def test_a_definition_with_mistakes_is_an_error_document(agentctl, project):
    project.write("loops/wrong.yaml", "loop: wrong\nsteps:\n  - sett: {a: 1}\n")
    result = agentctl("run", "wrong", "--json")
    assert result.code == 2
    assert result.json["error"]["type"] == "definition.invalid"


def test_no_wait_leaves_as_soon_as_only_waiting_is_left(agentctl):
    result = agentctl("run", "sleep", "--no-wait", "--json")
    assert result.code == 3
    assert result.json["status"] == "waiting"
    assert f"agentctl resume {result.json['run_id']}" in result.err


def test_detach_only_creates_the_run_and_says_who_takes_it_on(agentctl):
    result = agentctl("run", "greet", "--detach", "--json")
    assert result.code == 0
    assert result.json["status"] == "queued"
    assert f"agentctl resume {result.json['run_id']}" in result.err
    assert agentctl("history", "--json").json[0]["status"] == "queued"


def test_a_store_named_by_db_is_used_and_named_in_the_hints(agentctl, project):
    result = agentctl("run", "break", "--db", "else where.db")
    assert result.code == 1
    assert not project.store.exists()
    assert "--db '" in result.err
    assert len(agentctl("history", "--db", "else where.db", "--json").json) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_everything_and_ends_with_the_command_that_goes_on(agentctl, project, number):
    project.write("loops/slow.yaml", "loop: slow\nsteps:\n  - set: {a: 1}\n  - shell: [sleep, '60']\n")
    process = agentctl.start("run", "slow")
    assert process.stderr.readline().startswith("slow  ✓ set_1")
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    run = agentctl("history", "--json").json[0]
    assert err.splitlines()[-1] == f"interrupted; resume it with: agentctl resume {run['run_id']}"
    assert (run["status"], run["steps_done"]) == ("interrupted", 1)


def test_an_interrupted_run_answers_json_as_well(agentctl):
    process = agentctl.start("run", "sleep", "--json")
    assert process.stderr.readline().startswith("sleep  ✓ before")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(out)["output"] is None


def test_foreign_text_cannot_steer_the_terminal(agentctl, project):
    project.write(
        "loops/evil.yaml", 'loop: evil\nsteps:\n  - shell: [printf, "\\\\033[2J[red]x"]\n  - fail: ${{ steps.shell_1.output }}\n'
    )
    result = agentctl("run", "evil")
    assert "\x1b" not in result.err + agentctl("show", "last").out + agentctl("logs", "last").out
    assert "\\x1b[2J[red]x" in result.err


def test_a_second_interrupt_ends_at_once_and_loses_nothing(agentctl, project):
    script = "trap '' TERM; echo deaf; sleep 60 & wait; sleep 60"
    project.write("loops/deaf.yaml", f'loop: deaf\nsteps:\n  - set: {{a: 1}}\n  - shell: "{script}"\n')
    process = agentctl.start("run", "deaf")
    assert process.stderr.readline().startswith("deaf  ✓ set_1")
    while "deaf" not in agentctl("logs", "last").out:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert "again to stop" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "resume it with: agentctl resume" in err
    assert agentctl("history", "--json").json[0]["status"] == "interrupted"


def test_the_runs_of_skills_are_told_of_under_their_own_name(agentctl, project):
    project.write(
        "skills/helper.yaml", "skill: helper\ninput: {n: {type: integer}}\nsteps: [{id: think, set: {n: '${{ input.n }}'}}]\n"
    )
    project.write(
        "loops/many.yaml",
        """
        loop: many
        steps:
          - id: each
            foreach: [1, 2, 3]
            max_parallel: 3
            steps:
              - id: call
                skill: helper
                with: {n: "${{ item }}"}
        """,
    )
    result = agentctl("run", "many")
    assert result.code == 0, result.err
    assert json.loads(result.out) == [{"n": 1}, {"n": 2}, {"n": 3}]
    lines = result.err.splitlines()
    assert len([line for line in lines if line.startswith("helper  ✓ think")]) == 3
    assert len([line for line in lines if line.startswith("helper  ✓ succeeded")]) == 3
    assert lines[-1].startswith("many  ✓ succeeded")


def test_a_full_disk_is_told_with_the_command_that_goes_on(agentctl, project, repository):
    project.write("loops/big.yaml", "loop: big\nsteps: [{id: a, set: {x: 1}}, {id: b, shell: [sleep, '60']}]\n")
    assert agentctl("run", "big", "--detach").code == 0
    size = project.store.stat().st_size // 1024 + 40
    project.write(
        "loops/fill.yaml",
        "loop: fill\nsteps: [{foreach: '${{ range(400) | list }}', steps: [{set: {x: '${{ \"y\" * 900 }}'}}]}]\n",
    )
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f {size}; trap '' XFSZ; exec '{sys.executable}' -m agentctl run fill"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5, done.stderr
    assert "resume it with: agentctl resume" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert agentctl("resume", "last").code == 0


def test_a_reader_that_left_is_not_taken_for_a_failed_run(agentctl, project):
    for command in ("run greet", "history", "show last", "show nothing --json"):
        script = f"'{sys.executable}' -m agentctl {command} 2>&1 >&3 3>&- | cat; exit ${{PIPESTATUS[0]}}"
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            ["bash", "-c", f"exec 3>&{writer}; {script}"],
            cwd=project.root,
            env=agentctl.environment(),
            pass_fds=[writer],
            capture_output=True,
            text=True,
            timeout=60,
        )
        os.close(writer)
        assert done.returncode == 141, done.stdout
        assert "error" not in done.stdout


def test_a_folder_that_is_gone_is_called_so(agentctl, project):
    project.write("gone/x", "")
    script = f"cd gone && rm -r ../gone && exec '{sys.executable}' -m agentctl history --json"
    done = subprocess.run(
        ["bash", "-c", script], cwd=project.root, env=agentctl.environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "current folder is gone" in json.loads(done.stdout)["error"]["message"]


def test_a_cancelled_run_says_so_once(agentctl, project):
    assert agentctl("run", "sleep", "--no-wait").code == 3
    assert agentctl("cancel", "last").code == 0
    result = agentctl("resume", "last")
    assert result.code == 1
    assert "cancelled: the run was cancelled" in result.err
    assert "cancelled: cancelled" not in result.err


def test_an_output_with_control_characters_is_harmless_on_a_terminal_and_as_it_is_in_a_pipe(agentctl, project):
    project.write("loops/title.yaml", "loop: title\nsteps: [{shell: [printf, '\\033]0;owned\\007\\nnext']}]\n")
    assert agentctl("run", "title").out == "\x1b]0;owned\x07\nnext\n"
    screen, terminal = os.openpty()
    command = [sys.executable, "-m", "agentctl", "run", "title"]
    done = subprocess.run(
        command, cwd=project.root, env=agentctl.environment(), stdout=terminal, stderr=subprocess.DEVNULL, timeout=60
    )
    os.close(terminal)
    shown = os.read(screen, 4096).decode()
    os.close(screen)
    assert done.returncode == 0
    assert "\\x1b]0;owned\\x07\r\nnext" in shown
