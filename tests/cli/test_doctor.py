"""`agentctl doctor`: what is wrong, and how to fix it."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from contextlib import closing
from importlib import metadata

import pytest

from agentctl.cli.doctor import environment


@pytest.fixture
def doctor(agentctl):
    """check -> (status, message, fix) of the worst finding of each check, and the exit code."""

    def looked(**environment: str):
        result = agentctl("doctor", "--json", env=environment)
        found = {}
        for row in result.json:
            assert list(row) == ["check", "status", "message", "fix"]
            assert (row["fix"] == "") == (row["status"] == "ok")
            if row["status"] != "ok" or row["check"] not in found:
                found[row["check"]] = (row["status"], row["message"], row["fix"])
        return found, result.code

    return looked


def test_a_project_in_order_is_ok_and_exits_with_0(doctor, agentctl, project):
    project.write("loops/fine.yaml", "loop: fine\nsteps: [{set: {a: 1}}]\n")
    agentctl("run", "fine")
    found, code = doctor()
    assert code == 0
    assert set(found) == {
        "python", "dependencies", "project", "sqlite", "store", "store.disk", "store.wal", "store.integrity", "store.schema",
        "store.payloads", "store.permissions", "definitions", "models.default", "secrets.env",
    }  # fmt: skip
    assert {check for check, (status, _, _) in found.items() if status != "ok"} <= {"sqlite"}


def test_people_get_a_line_a_finding_and_how_to_mend_it(agentctl, project):
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{sett: {a: 1}}]\n")
    result = agentctl("doctor")
    assert result.code == 1
    assert re.search(r"^✓ python +Python 3\.", result.out, re.MULTILINE)
    assert re.search(
        r"^✗ definitions +loops/bad.yaml:2:\d+: error.*\n +→ agentctl validate loops/bad.yaml", result.out, re.MULTILINE
    )
    assert "1 error" in result.err


def test_before_the_first_run_there_is_no_store_and_doctor_makes_none(doctor, project):
    found, code = doctor()
    assert (found["store"][0], code) == ("ok", 0)
    assert "the first run makes it" in found["store"][1]
    assert not project.store.exists()


def test_a_damaged_store_exits_with_1_and_says_what_to_do(doctor, project):
    project.write(".agentctl/agentctl.db", "no database" * 1000)
    found, code = doctor()
    assert (found["store"][0], code) == ("error", 1)
    assert "restore a backup" in found["store"][2]


def test_the_store_of_the_project_can_be_another_one(agentctl, tmp_path):
    agentctl("doctor", "--db", tmp_path / "other.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    result = agentctl("doctor", "--db", tmp_path / "other.db", "--json")
    assert result.code == 1
    assert "another program's" in " ".join(row["message"] for row in result.json)


def test_every_file_with_problems_is_named(doctor, project):
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{sett: {a: 1}}]\n")
    project.write("loops/warned.yaml", "loop: warned\nsteps: [{set: {a: '${{ vars.unset }}'}}]\n")
    found, code = doctor()
    assert code == 1
    assert found["definitions"][0] in ("error", "warning")


def test_a_definition_with_a_warning_is_no_failure(doctor, project):
    project.write("loops/warned.yaml", "loop: warned\nsteps: [{set: {a: '${{ vars.unset }}'}}]\n")
    found, code = doctor()
    assert (found["definitions"][0], code) == ("warning", 0)


def test_a_broken_project_file_is_a_finding_not_a_crash(doctor, project):
    project.write("agentctl.yaml", "sotre: x\n")
    found, code = doctor()
    assert code == 1
    assert "did you mean 'store'" in found["project"][1]


@pytest.mark.parametrize("action", ["llm: {prompt: hi}", "agent: {goal: hi}"])
def test_a_definition_that_calls_a_model_needs_one_configured(doctor, project, action):
    project.write("loops/ask.yaml", f"loop: ask\nsteps: [{{id: a, if: 'false', {action}}}]\n")
    assert doctor()[0]["models.default"][0] == "warning"
    project.write("agentctl.yaml", "models: {default: openai/gpt-5-mini}\n")
    assert "OPENAI_API_KEY" in doctor()[0]["models.default"][2]
    found, code = doctor(OPENAI_API_KEY="sk-0123456789")
    assert (found["models.default"][0], code) == ("ok", 0)


def test_an_env_file_that_others_can_read_is_a_warning_and_its_values_are_not_shown(agentctl, project):
    project.write(".env", "TOKEN=s3cret-value\n").chmod(0o644)
    result = agentctl("doctor")
    assert f"chmod 600 {project.root / '.env'}" in result.out
    assert "s3cret-value" not in result.out + result.err


def test_an_env_that_is_a_folder_is_a_finding_not_a_crash(doctor, project):
    (project.root / ".env").mkdir()
    found, code = doctor()
    assert (found["secrets.env"][0], code) == ("warning", 0)


# --- the installation ------------------------------------------------------------------------------------------------


def examined(**versions: str | None) -> dict[str, tuple[str, str, str]]:
    """The findings when these packages have these versions (None: missing) and all others are good."""

    def installed(name: str) -> str:
        version = versions.get(name, "9999.0")
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    return {row.check: (row.status, row.message, row.fix) for row in environment.examine(installed)}


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.107.0", "malicious"),
        ("1.82.7", "malicious"),
        ("1.106.1", "breaks tool calls"),
        ("1.90.0", "too old"),
        (None, "missing"),
    ],
)
def test_a_bad_litellm_is_an_error_with_the_command_that_mends_it(version, words):
    status, message, fix = examined(litellm=version)["dependencies.litellm"]
    assert status == "error"
    assert words in message
    assert "pip " in fix


def test_after_a_malicious_package_keys_have_to_be_replaced():
    assert "replace every key" in examined(litellm="1.82.8")["dependencies.litellm"][2]


def test_good_packages_are_one_finding():
    assert [check for check in examined() if check.startswith("dependencies")] == ["dependencies"]
    assert examined(rich="15.0.1rc1")["dependencies"][0] == "ok"


def test_the_versions_looked_for_are_those_of_the_package_itself(repository):
    wanted = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    oldest = {re.split(r"[\[<>=!]", text)[0]: re.search(r">=([\d.]+)", text)[1] for text in wanted}
    assert oldest == environment.OLDEST
    refused = {version for text in wanted if text.startswith("litellm") for version in re.findall(r"!=([\d.]+)", text)}
    assert refused == {*environment.MALICIOUS["litellm"], *environment.BROKEN["litellm"]}


def test_doctor_tells_of_paused_loops_of_runs_that_stall_and_of_loops_that_always_fail(doctor, agentctl, project):
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{fail: on purpose}]\n")
    for _ in range(3):
        agentctl("run", "bad")
    stalled = agentctl("run", "bad", "--detach", "--json").json["run_id"]
    agentctl("pause", "bad")
    with closing(sqlite3.connect(project.store)) as store, store:
        store.execute("UPDATE runs SET created_at = created_at - 3600 WHERE id = ?", (stalled,))
    found, code = doctor()
    assert code == 0
    assert found["deployments.paused"][2] == "agentctl unpause bad"
    assert found["runs.stalled"][1].startswith(f"run {stalled} of 'bad' (queued) is stalled for 1h")
    assert found["runs.failing"][:2] == ("warning", "the last 3 runs of 'bad' have all failed: failed: on purpose")


def test_history_tells_which_runs_make_no_progress_and_since_when(agentctl, project):
    project.write("loops/work.yaml", "loop: work\nsteps: [{set: {a: 1}}]\n")
    agentctl("run", "work")
    fresh = agentctl("run", "work", "--detach", "--json").json["run_id"]
    stalled = agentctl("run", "work", "--detach", "--json").json["run_id"]
    with closing(sqlite3.connect(project.store)) as store, store:
        store.execute("UPDATE runs SET created_at = created_at - 3600 WHERE id = ?", (stalled,))
    rows = {row["run_id"]: row for row in agentctl("history", "--json").json}
    assert rows[fresh]["stalled_since"] is None
    assert rows[stalled]["stalled_since"] == rows[stalled]["created_at"]
    assert [row["run_id"] for row in agentctl("history", "--stalled", "--json").json] == [stalled]
    assert "stalled for 1h" in agentctl("history").out
    hint = f"no process is driving it; continue it with agentctl serve or agentctl resume {stalled}"
    assert hint in agentctl("show", stalled).out
