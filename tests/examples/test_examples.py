"""Every example is run as its README says, in a copy of its folder, by the real command."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from agentctl.language.project.project import find

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.name for path in (REPOSITORY / "examples").iterdir() if path.is_dir())
TICKETS = json.loads((REPOSITORY / "examples/ticket-queue/tickets.json").read_text())


@pytest.fixture
def example(tmp_path, agentctl, install):
    """Copies an example and makes its folder the one in which commands run. Above it lies another project, as in a checkout."""
    for part in ("loops", "skills"):
        (tmp_path / part).mkdir()

    def copy(name: str) -> Path:
        folder = tmp_path / "examples" / name
        left_behind = shutil.ignore_patterns(".agentctl", "outbox.db*", "__pycache__")
        shutil.copytree(REPOSITORY / "examples" / name, folder, ignore=left_behind)
        agentctl.cwd = folder
        if (folder / "pyproject.toml").exists():
            install(folder)
        return folder

    return copy


def outbox(folder: Path) -> list[str]:
    """The tickets answered so far, in the order of the mails."""
    file = folder / "outbox.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'outbox'").fetchone():
            return []
        return [ticket for (ticket,) in connection.execute("select ticket from outbox order by number")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_has_a_readme_whose_commands_name_real_files(name):
    folder = REPOSITORY / "examples" / name
    commands = re.findall(r"^    agentctl run (\S+)", (folder / "README.md").read_text(), re.MULTILINE)
    assert commands
    assert all((folder / file).is_file() for file in commands)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_project_of_its_own_also_inside_another(name, example):
    folder = example(name)
    assert find(folder).root == folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_definition_of_an_example_is_valid(name, example, agentctl):
    folder = example(name)
    files = [path for path in folder.rglob("*.yaml") if path.name != "agentctl.yaml"]
    result = agentctl("validate", *files, "--json")
    assert (result.code, result.json) == (0, [])


def test_the_first_loop_has_five_lines(repository):
    assert len((repository / "examples/first-loop/first.yaml").read_text().splitlines()) == 5


def test_the_first_loop_greets_whom_it_is_told_to(example, agentctl):
    example("first-loop")
    result = agentctl("run", "first.yaml", "-i", "name=Ada", "--json")
    assert result.code == 0, result.err
    assert result.json["status"] == "succeeded"
    assert re.fullmatch(r"Hello, Ada, it is \d\d:\d\d", result.json["output"]["greeting"])


def test_retry_and_fallback_ends_well_with_the_last_known_rates(example, agentctl):
    example("retry-and-fallback")
    result = agentctl("run", "rates.yaml", "--json")
    assert result.code == 0, result.err
    assert result.json["output"] == {"eur": 100, "usd": 125.0, "attempts": 3, "rates": "recovered"}

    steps = {step["path"]: step for step in agentctl("show", "last", "--json").json["steps"]}
    assert (steps["rates"]["status"], steps["rates"]["attempts"]) == ("recovered", 2)


def test_fan_out_counts_every_text_in_the_order_of_the_list(example, agentctl):
    folder = example("fan-out")
    result = agentctl("run", "count-words.yaml", "--json")
    assert result.code == 0, result.err
    expected = [{"text": file.name, "words": len(file.read_text().split())} for file in sorted((folder / "texts").iterdir())]
    assert result.json["output"] == {"texts": expected, "total": sum(text["words"] for text in expected)}


def test_the_ticket_queue_answers_every_ticket_once(example, agentctl):
    folder = example("ticket-queue")
    result = agentctl("run", "loops/answer-tickets.yaml", "--json")
    assert result.code == 0, result.err
    assert result.json["output"]["answered"] == len(TICKETS)
    assert outbox(folder) == [ticket["id"] for ticket in TICKETS]


def test_a_ticket_queue_killed_in_the_middle_goes_on_and_answers_none_twice(example, agentctl):
    folder = example("ticket-queue")
    process = agentctl.start("run", "loops/answer-tickets.yaml")
    until = time.monotonic() + 60
    while len(outbox(folder)) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)
    process.kill()
    process.wait()
    before = outbox(folder)
    assert len(before) < len(TICKETS), "the run ended before it could be killed"

    result = agentctl("resume", "last", "--json")
    assert result.code == 0, result.err
    assert (result.json["status"], result.json["output"]["answered"]) == ("succeeded", len(TICKETS))
    assert outbox(folder) == [ticket["id"] for ticket in TICKETS]


def test_a_second_run_of_the_ticket_queue_finds_nothing_to_answer(example, agentctl):
    folder = example("ticket-queue")
    assert agentctl("run", "loops/answer-tickets.yaml").code == 0
    result = agentctl("run", "loops/answer-tickets.yaml", "--json")
    assert result.json["output"] == {"answered": 0, "tickets": []}
    assert len(outbox(folder)) == len(TICKETS)


def test_a_loop_with_a_memory_goes_on_where_the_run_before_it_stopped(example, agentctl):
    folder = example("memory")
    assert agentctl("run", "new-errors.yaml", "--json").json["output"]["new"] == ["disk is full", "disk is still full"]
    with (folder / "errors.log").open("a") as log:
        log.write("no route to host\n")
    again = agentctl("run", "new-errors.yaml", "--json").json["output"]
    assert again == {"new": ["no route to host"], "last_error_before": "disk is still full"}
    assert agentctl("run", "new-errors.yaml", "--json").json["output"]["new"] == []
    assert agentctl("state", "new-errors", "set", "next_line", "1").code == 0
    assert len(agentctl("run", "new-errors.yaml", "--json").json["output"]["new"]) == 3
