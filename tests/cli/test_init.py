"""`agentctl init`: a project that runs at once, and nothing overwritten."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

import agentctl.language.schema

CREATED = [
    "agentctl.yaml", "loops/hello.yaml", "skills/greeting.yaml", "tests/hello.test.yaml", "agentctl.schema.json", ".gitignore",
]  # fmt: skip


@pytest.fixture
def place(tmp_path):
    """An empty folder."""
    made = tmp_path / "empty"
    made.mkdir()
    return made


def test_what_init_makes_runs_and_is_valid(agentctl, place):
    made = agentctl("init", "first", cwd=place)
    assert made.code == 0, made.err
    root = place / "first"
    run = agentctl("run", "hello", "-i", "name=Ada", "--json", cwd=root)
    assert run.json["status"] == "succeeded", run.err
    assert run.json["output"].startswith("Hello, Ada! This is ")
    assert agentctl("validate", ".", "--json", cwd=root).json == []
    doctor = agentctl("doctor", "--json", cwd=root)
    assert doctor.code == 0
    assert [row["message"] for row in doctor.json if row["check"] == "definitions"] == ["2 definitions checked, no problems"]


def test_init_says_what_it_made_and_what_to_do_next_and_those_commands_work(agentctl, place):
    made = agentctl("init", "my project", cwd=place)
    assert [line.removeprefix("created my project/") for line in made.err.splitlines()[: len(CREATED)]] == CREATED
    go, *commands = [line.strip() for line in made.err.split("Now try:\n")[1].splitlines()]
    assert go == "cd 'my project'"
    for command in commands:
        assert agentctl(*command.split()[1:], cwd=place / "my project").code == 0, command


def test_json_lists_the_files(agentctl, place):
    assert agentctl("init", "--json", cwd=place).json == {"root": str(place), "created": CREATED, "changed": []}


def test_nothing_is_overwritten_and_nothing_written_when_a_file_is_in_the_way(agentctl, place):
    (place / "agentctl.yaml").write_text("vars: {mine: 1}\n")
    result = agentctl("init", cwd=place)
    assert result.code == 2
    assert "agentctl.yaml exists already; nothing was written" in result.err
    assert [path.name for path in place.iterdir()] == ["agentctl.yaml"]
    assert (place / "agentctl.yaml").read_text() == "vars: {mine: 1}\n"


def test_a_second_init_names_every_file_in_the_way(agentctl, place):
    assert agentctl("init", cwd=place).code == 0
    result = agentctl("init", cwd=place)
    assert result.code == 2
    assert ", ".join(CREATED[:-1]) + " exist already" in result.err


@pytest.mark.parametrize("name", ["taken", "taken/below", "loops"])
def test_a_file_in_place_of_a_folder_is_one_sentence(agentctl, place, name):
    (place / name.split("/")[0]).write_text("")
    result = agentctl("init", *([] if name == "loops" else [name]), cwd=place)
    assert result.code == 2
    assert "is a file; a folder was expected" in result.err


@pytest.mark.parametrize("there", ["node_modules", "node_modules\n", ".env\n", "/.agentctl\n"])
def test_a_gitignore_that_is_there_gets_the_lines_that_it_lacks(agentctl, place, there):
    (place / ".gitignore").write_text(there)
    assert agentctl("init", "--json", cwd=place).json["changed"] == [".gitignore"]
    lines = (place / ".gitignore").read_text().splitlines()
    assert lines[0] == there.strip()
    assert {line.strip("/") for line in lines} >= {".agentctl", ".env"}
    assert len(lines) == len({line.strip("/") for line in lines})


def test_the_schema_that_the_editor_line_names_is_there_and_is_the_schema(agentctl, place):
    agentctl("init", cwd=place)
    for file in ("loops/hello.yaml", "skills/greeting.yaml"):
        first = (place / file).read_text().splitlines()[0]
        named = first.removeprefix("# yaml-language-server: $schema=")
        found = json.loads(((place / file).parent / named).read_text())
        assert found == agentctl_schema()


def agentctl_schema():
    return agentctl.language.schema.schema()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_would_take_all_of_it_but_store_and_secrets(agentctl, place):
    agentctl("init", cwd=place)
    agentctl("run", "hello", cwd=place)
    (place / ".env").write_text("KEY=value\n")
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    shown = subprocess.run(
        ["git", "-C", str(place), "status", "--short", "-uall"], check=True, capture_output=True, text=True
    ).stdout
    assert sorted(line[3:] for line in shown.splitlines()) == sorted(CREATED)
