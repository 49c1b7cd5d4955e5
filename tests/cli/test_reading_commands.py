"""`history`, `show`, `logs`, `validate`, `schema`, `version`: they read and change nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import eventually

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
WORK = """
    loop: work
    steps:
      - id: hello
        shell: "echo hi; echo oops >&2"
      - id: each
        foreach: [1, 2]
        steps:
          - id: double
            set: {n: "${{ item * 2 }}"}
      - id: broken
        if: "false"
        fail: no
"""
RUN_KEYS = [
    "run_id", "loop", "kind", "version", "status", "trigger", "parent", "created_at", "started_at", "finished_at",
    "duration_ms", "steps_done", "steps_total", "usage", "error", "stalled_since", "feedback",
]  # fmt: skip
STEP_KEYS = [
    "path", "action", "status", "attempts", "input", "output", "error", "started_at", "finished_at", "usage",
    "source", "waits_for",
]  # fmt: skip


@pytest.fixture
def ran(project, agentctl) -> str:
    """The id of a run of WORK that has ended."""
    project.write("loops/work.yaml", WORK)
    result = agentctl("run", "work", "--json")
    assert result.code == 0, result.err
    return result.json["run_id"]


def test_history_is_empty_before_the_first_run_and_makes_no_store(agentctl, project):
    result = agentctl("history")
    assert (result.code, result.out) == (0, "")
    assert "No runs yet" in result.err
    assert agentctl("history", "--json").json == []
    assert not project.store.exists()


def test_history_has_every_run_with_every_key(agentctl, ran):
    (row,) = agentctl("history", "--json").json
    assert list(row) == RUN_KEYS
    assert (row["run_id"], row["loop"], row["kind"], row["status"], row["trigger"]) == (
        ran,
        "work",
        "loop",
        "succeeded",
        "manual",
    )
    assert all(TIME.fullmatch(row[key]) for key in ("created_at", "started_at", "finished_at"))
    assert isinstance(row["duration_ms"], int)
    assert row["steps_done"] == row["steps_total"]


def test_history_for_people_is_plain_when_piped(agentctl, ran):
    out = agentctl("history").out
    assert ran in out
    assert "✓ succeeded" in out
    assert "\x1b" not in out


def test_history_filters(agentctl, ran):
    def found(*arguments: str) -> int:
        return len(agentctl("history", "--json", *arguments).json)

    assert found("--loop", "work") == found("--status", "succeeded", "--status", "failed") == found("--since", "1h") == 1
    assert found("--loop", "other") == found("--status", "failed") == found("--until", "1h") == found("--trigger", "cron") == 0
    assert found("--parent", ran) == 0
    assert found("--limit", "1") == 1


@pytest.fixture
def many(agentctl, project) -> dict[str, str]:
    """Runs of several kinds: name -> id. `caller` starts `callee`; `sleeper` waits; `queued` has not started."""
    for name, text in {
        "loops/fails.yaml": "loop: fails\nsteps: [{fail: no}]\n",
        "loops/caller.yaml": "loop: caller\nsteps: [{id: call, skill: callee}]\n",
        "skills/callee.yaml": "skill: callee\nsteps: [{set: {a: 1}}]\n",
        "loops/sleeper.yaml": "loop: sleeper\nsteps: [{wait: 1h}]\n",
        "loops/queued.yaml": "loop: queued\nsteps: [{set: {a: 1}}]\n",
    }.items():
        project.write(name, text)
    for name, *more in (["fails"], ["caller"], ["sleeper", "--no-wait"], ["queued", "--detach"]):
        agentctl("run", name, *more)
    return {row["loop"]: row["run_id"] for row in agentctl("history", "--json").json}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["queued", "sleeper", "callee", "caller", "fails"]),
        (["--limit", "2"], ["queued", "sleeper"]),
        (["--loop", "callee"], ["callee"]),
        (["--status", "failed"], ["fails"]),
        (["--status", "waiting,queued"], ["queued", "sleeper"]),
        (["--status", "succeeded", "--status", "failed", "--limit", "2"], ["callee", "caller"]),
        (["--trigger", "skill"], ["callee"]),
        (["--trigger", "manual", "--status", "succeeded"], ["caller"]),
        (["--loop", "caller", "--status", "failed"], []),
        (["--since", "1h", "--until", "0s", "--loop", "fails"], ["fails"]),
        (["--since", "2999-01-01"], []),
        (["--until", "2020-01-01T00:00:00Z"], []),
    ],
)
def test_history_filters_alone_and_together(agentctl, many, arguments, names):
    assert [row["loop"] for row in agentctl("history", "--json", *arguments).json] == names


def test_history_lists_what_a_run_started_by_any_prefix_of_its_id(agentctl, many):
    (child,) = agentctl("history", "--json", "--parent", many["caller"][:8]).json
    assert (child["run_id"], child["parent"]) == (many["callee"], {"run_id": many["caller"], "path": "call"})
    assert agentctl("history", "--parent", "no-such-run").code == 4


def test_since_and_until_cut_at_the_moment_a_run_was_created(agentctl, many):
    created = {row["loop"]: row["created_at"] for row in agentctl("history", "--json").json}
    since = [row["loop"] for row in agentctl("history", "--json", "--since", created["sleeper"]).json]
    until = [row["loop"] for row in agentctl("history", "--json", "--until", created["sleeper"]).json]
    assert {"queued"} <= set(since) <= {"queued", "sleeper"}
    assert {"caller", "callee", "fails"} <= set(until) <= {"caller", "callee", "fails", "sleeper"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--status", "suceeded"], "did you mean 'succeeded'"),
        (["--since", "yesterday"], "--since takes"),
        (["--limit", "0"], "--limit takes"),
        (["--limt", "3"], "--limit"),
    ],
)
def test_a_wrong_option_says_what_was_expected(agentctl, arguments, words):
    result = agentctl("history", *arguments)
    assert result.code == 2
    assert words in result.err
    assert agentctl("history", "--json", *arguments).json["error"]["type"] == "usage"


def test_show_has_run_steps_and_events(agentctl, ran):
    shown = agentctl("show", "last", "--json").json
    assert list(shown) == ["run", "steps", "events"]
    assert list(shown["run"]) == [*RUN_KEYS, "input", "output", "event", "waits_for"]
    steps = {step["path"]: step for step in shown["steps"]}
    assert all(list(step) == STEP_KEYS for step in steps.values())
    assert {path: (step["action"], step["status"]) for path, step in steps.items()} == {
        "hello": ("shell", "succeeded"),
        "each": ("foreach", "succeeded"),
        "each[0].double": ("set", "succeeded"),
        "each[1].double": ("set", "succeeded"),
        "broken": ("fail", "skipped"),
    }
    assert steps["each[1].double"]["output"] == {"n": 4}
    assert TIME.fullmatch(steps["hello"]["started_at"])
    assert [event["seq"] for event in shown["events"]] == list(range(1, len(shown["events"]) + 1))
    assert all(list(event)[:4] == ["seq", "at", "type", "path"] for event in shown["events"])
    assert (shown["events"][0]["type"], shown["events"][0]["path"]) == ("RunCreated", None)


def test_show_has_the_inputs_as_they_were_evaluated_and_secrets_by_name(agentctl, project):
    project.write(
        "loops/given.yaml",
        """
        loop: given
        input: {who: {type: string, default: Ada}}
        steps:
          - id: call
            shell: [printf, "%s", "hello ${{ input.who }}"]
            env: {TOKEN: "Bearer ${{ secrets.THE_TOKEN }}"}
          - id: each
            foreach: ${{ [1, 2] }}
            steps:
              - id: double
                set: {n: "${{ item * 2 }}"}
          - id: broken
            set: {n: "${{ 1 / 0 }}"}
            continue_on_error: true
        """,
    )
    assert agentctl("run", "given", env={"THE_TOKEN": "s3cret-value"}).code == 0
    shown = agentctl("show", "last", "--json")
    given = {step["path"]: step["input"] for step in shown.json["steps"]}
    assert given == {
        "call": {"argv": ["printf", "%s", "hello Ada"], "env": {"TOKEN": "Bearer ${{ secrets.THE_TOKEN }}"}},
        "each": {"items": [1, 2]},
        "each[0].double": {"n": 2},
        "each[1].double": {"n": 4},
        "broken": None,
    }
    people = agentctl("show", "last", "--inputs").out
    assert '      argv: ["printf","%s","hello Ada"]\n' in people
    assert "argv" not in agentctl("show", "last").out
    assert "s3cret-value" not in shown.out + people


def test_show_draws_a_timeline_for_people(agentctl, ran):
    out = agentctl("show", ran[:8]).out
    assert "status   ✓ succeeded" in out
    assert re.search(r"✓ hello +shell +[▏▎▍▌▋▊▉█]+", out)
    assert re.search(r"- broken +fail +skipped", out)


def test_a_step_after_a_failure_is_shown_as_not_run(agentctl, project):
    project.write("loops/stop.yaml", "loop: stop\nsteps: [{id: a, fail: now}, {id: b, steps: [{id: c, set: {x: 1}}]}]\n")
    assert agentctl("run", "stop").code == 1
    statuses = {step["path"]: step["status"] for step in agentctl("show", "last", "--json").json["steps"]}
    assert statuses == {"a": "failed", "b": "not_run"}


def test_items_that_a_foreach_never_came_to_are_shown_as_not_run(agentctl, project):
    inner = "[{id: one, fail: now}, {id: two, set: {x: 1}}]"
    project.write("loops/stops.yaml", f"loop: stops\nsteps: [{{id: a, foreach: [1, 2, 3], steps: {inner}}}]\n")
    assert agentctl("run", "stops").code == 1
    statuses = {step["path"]: step["status"] for step in agentctl("show", "last", "--json").json["steps"]}
    rest = {f"a[{i}].{step}": "not_run" for i in (1, 2) for step in ("one", "two")}
    assert statuses == {"a": "failed", "a[0].one": "failed", "a[0].two": "not_run", **rest}


@pytest.mark.parametrize("command", ["show", "logs", "cancel", "resume"])
def test_an_unknown_run_exits_with_4(agentctl, ran, command):
    for run in ("zzzz-no-such-run", "last-but-one"):
        result = agentctl(command, run, "--json")
        assert result.code == 4
        assert result.json["error"]["type"] == "not_found"


@pytest.mark.parametrize("command", ["show", "logs", "cancel", "resume"])
def test_without_a_store_there_is_no_run_to_find(agentctl, project, command):
    assert agentctl(command, "last").code == 4
    assert not project.store.exists()


def test_an_ambiguous_prefix_exits_with_2(agentctl, project):
    project.write("loops/tiny.yaml", "loop: tiny\nsteps: [{set: {a: 1}}]\n")
    ids = [agentctl("run", "tiny", "--detach", "--json").json["run_id"] for _ in range(2)]
    result = agentctl("show", "", "--json")
    assert len(set(ids)) == 2
    assert result.code == 2
    assert result.json["error"]["type"] == "ambiguous"


def test_logs_print_what_steps_wrote(agentctl, ran):
    lines = agentctl("logs", "last").out.splitlines()
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d hello  hi", line) for line in lines)
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d hello  \[stderr\] oops", line) for line in lines)
    entries = agentctl("logs", "last", "--json").json
    assert {(entry["path"], entry["stream"], entry["text"]) for entry in entries} >= {("hello", "stdout", "hi")}
    assert all(TIME.fullmatch(entry["at"]) for entry in entries)


def test_following_the_log_of_a_run_that_has_ended_ends(agentctl, ran):
    assert agentctl("logs", "last", "-f").out == agentctl("logs", "last").out


def test_following_a_run_prints_lines_as_they_come_and_ends_with_the_run(agentctl, project):
    project.write(
        "loops/slow.yaml",
        """
        loop: slow
        steps:
          - id: talk
            shell: "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two"
        """,
    )
    run = agentctl.start("run", "slow", "--json")
    eventually(lambda: "one" in agentctl("logs", "last").out, "the first line in the log")
    assert run.poll() is None
    following = agentctl.start("logs", "last", "-f")
    first = following.stdout.readline()
    assert first.endswith("talk  one\n")
    (project.root / "go").touch()
    rest, _ = following.communicate(timeout=20)
    assert rest.endswith("talk  two\n")
    assert (following.returncode, run.wait(timeout=20)) == (0, 0)


def test_validate_says_what_was_checked(agentctl, project):
    project.write("loops/fine.yaml", "loop: fine\nsteps: [{set: {a: 1}}]\n")
    result = agentctl("validate", "loops/fine.yaml", "loops")
    assert (result.code, result.out, result.err) == (0, "", "1 file checked, no problems\n")
    assert agentctl("validate", ".", "--json").json == []


def test_validate_tells_what_is_wrong_with_the_project_file_once_and_in_the_same_list(agentctl, project):
    good = [project.write(f"loops/{name}.yaml", f"loop: {name}\nsteps: [{{set: {{a: 1}}}}]\n") for name in ("one", "two")]
    assert agentctl("validate", "agentctl.yaml", *good).code == 0
    project.write("agentctl.yaml", "stroe: here.db\n")
    result = agentctl("validate", "agentctl.yaml", *good, "--json")
    assert result.code == 2
    [problem] = result.json
    assert (problem["line"], problem["code"], Path(problem["file"]).name) == (1, "unknown-key", "agentctl.yaml")


def test_validate_reports_every_problem_of_every_file(agentctl, project):
    project.write("loops/one.yaml", "loop: one\nsteps:\n  - sett: {a: 1}\n")
    project.write("skills/two.yaml", "skill: two\nsteps:\n  - set: {a: '${{ inputs.x }}'}\n    retry: 0\n")
    result = agentctl("validate", ".")
    assert result.code == 2
    assert re.search(r"^loops/one.yaml:3:5: error\[[a-z-]+\]: .*`?set", result.out, re.MULTILINE)
    assert "    3 |   - sett: {a: 1}\n      |     ^" in result.out
    problems = agentctl("validate", ".", "--json").json
    assert all(list(problem) == ["file", "line", "column", "severity", "code", "message"] for problem in problems)
    assert {problem["file"] for problem in problems} == {"loops/one.yaml", "skills/two.yaml"}
    assert len([problem for problem in problems if problem["file"] == "skills/two.yaml"]) >= 2


@pytest.mark.parametrize("path", ["nothing.yaml", "empty"])
def test_validate_of_nothing_exits_with_4(agentctl, project, path):
    (project.root / "empty").mkdir()
    assert agentctl("validate", path).code == 4


def test_the_schema_is_a_json_schema(agentctl):
    assert "$schema" in agentctl("schema").json


def test_the_version_is_told_twice_the_same(agentctl):
    version = agentctl("version", "--json").json["version"]
    assert agentctl("version").out == agentctl("--version").out == f"agentctl {version}\n"


def test_help_names_every_command_with_one_line(agentctl):
    out = agentctl("--help").out
    for command in ("run", "resume", "history", "show", "logs", "cancel", "validate", "schema", "version"):
        assert re.search(rf"^  {command} +\S.*\.$", out, re.MULTILINE), command
    assert "..." not in out.partition("Commands:")[2], "a line is cut"


@pytest.mark.parametrize(
    ("command", "takes"),
    [("approve", "{RUN} [STEP]"), ("stats", "[LOOP]"), ("init", "[DIR]"), ("validate", "[PATH]..."), ("test", "[PATH]...")],
)
def test_a_usage_line_brackets_what_can_be_left_out_once(agentctl, command, takes):
    assert agentctl(command, "--help").out.splitlines()[0] == f"Usage: agentctl {command} [OPTIONS] {takes}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shwo", "last"], "did you mean `show`?"),
        (["frobnicate"], "there is no command"),
        (["--frob"], "--frob"),
        (["show"], "RUN"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_one_clear_sentence(agentctl, arguments, words):
    result = agentctl(*arguments)
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err
    as_json = agentctl(*arguments, "--json")
    assert (as_json.code, as_json.json["error"]["type"]) == (2, "usage")


def test_a_reader_that_leaves_early_is_no_error_worth_a_word(agentctl, ran, project):
    process = agentctl.start("show", ran, "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=20)


@pytest.mark.parametrize("command", [["history"], ["history", "--json"], ["--help"], ["version"]])
def test_quick_commands_import_nothing_heavy(agentctl, ran, project, repository, command):
    (project.root / "agentctl.yaml").unlink()
    code = "import sys; from agentctl.cli.app import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=project.root, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    heavy = {"asyncio", "ruamel", "jsonschema", "jinja2", "litellm", "httpx", "httpx2", "sqlite_utils", "pydantic", "rich"}
    assert "agentctl" in loaded
    assert loaded & heavy == set()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("command", ["history --json > /dev/full", "version > /dev/full", "show x --json > /dev/full"])
def test_output_that_cannot_be_written_is_one_sentence(ran, project, repository, command):
    done = subprocess.run(
        ["sh", "-c", f"exec '{sys.executable}' -m agentctl {command}"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("command", ["version >&-", "version 2>&-", "run quiet <&- 2>&-", "run quiet <&- >&- 2>&-"])
def test_a_closed_stream_stops_nothing(project, repository, command):
    project.write("loops/quiet.yaml", "loop: quiet\nsteps: [{shell: cat}]\n")
    done = subprocess.run(
        ["sh", "-c", f"exec '{sys.executable}' -m agentctl {command}"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_loses_no_character_to_the_encoding_of_the_terminal(agentctl, project, encoding):
    project.write("loops/words.yaml", "loop: words\nsteps: [{return: 'Größe 漢字 ✓'}]\n")
    result = agentctl("run", "words", "--json", env={"PYTHONIOENCODING": encoding})
    assert result.json["output"] == "Größe 漢字 ✓"
    assert agentctl("export", "--json", env={"PYTHONIOENCODING": encoding}).json[0]["run"]["output"] == "Größe 漢字 ✓"


def test_a_binary_file_is_refused_without_showing_what_is_in_it(agentctl, project):
    (project.root / "loops/binary.yaml").write_bytes(bytes(range(256)) * 10)
    result = agentctl("validate", "loops/binary.yaml")
    assert result.code == 2
    assert len(result.out.splitlines()) == 1
    assert result.out.startswith("loops/binary.yaml:1:1: error[not-text]:")
