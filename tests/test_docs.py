"""What README and docs say is so: their definitions are valid, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

import agentctl as package

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted([REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/*/README.md")])
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
LOCK = (REPOSITORY / "requirements-ci.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(REPOSITORY)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    if not block.startswith("test:")  # tests/cli/test_test_command.py plays those
]
FIRST_SCREEN = 45


def named(block: str) -> str | None:
    """The name of the loop or skill that a block defines."""
    found = re.search(r"^(?:loop|skill): ([a-z0-9-]+)", block, re.MULTILINE)
    return found[1] if found else None


@pytest.fixture
def documented(project, repository):
    """A project with every definition that a page shows, and the skills that ship, which some of them call."""
    shutil.copytree(repository / "skills", project.root / "skills", dirs_exist_ok=True)
    for [block] in (parameter.values for parameter in BLOCKS):
        if named(block):
            project.write(f"loops/{named(block)}.yaml", block)
    return project


@pytest.mark.parametrize("block", BLOCKS)
def test_every_yaml_block_is_a_valid_definition_or_project_file(block, documented, agentctl):
    project = documented
    if block.startswith("# agentctl.yaml"):
        project.write("agentctl.yaml", block)
        block = "loop: any\nsteps:\n  - set: {metrics: '${{ vars.metrics_url }}'}\n"
    file = project.write(f"loops/{named(block)}.yaml", block)
    result = agentctl("validate", file, "--json")
    assert result.code == 0
    assert [problem for problem in result.json if problem["code"] != "unset-secret"] == []


def test_every_definition_that_a_page_shows_does_what_its_test_says(documented, agentctl, repository):
    """`tests/docs` has a file of cases for each; every case is played with a crash at every point, too."""
    shutil.copytree(repository / "tests" / "docs", documented.root / "tests")
    names = [named(block) for [block] in (parameter.values for parameter in BLOCKS) if named(block)]
    assert len(names) == len(set(names))
    # docs/testing.md shows a test of its own definition: tests/cli/test_test_command.py
    assert {file.name.removesuffix(".test.yaml") for file in documented.root.glob("tests/*")} == set(names) - {"chase-ticket"}
    result = agentctl("test", "--crash-everywhere", "--json", timeout=120)
    failed = [case for case in result.json["cases"] if case["outcome"] != "passed"]
    assert (result.code, failed, result.json["problems"]) == (0, [], [])


def test_the_readme_names_every_command_and_no_other(agentctl):
    table = README.split("## Commands")[1].split("##")[0]
    named = set(re.findall(r"`(?:agentctl )?([a-z]+)(?= |`)", table)) - {"last"}
    offered = set(re.findall(r"^\W*([a-z]+) {2,}\S", agentctl("--help").out.split("Commands")[1], re.MULTILINE))
    assert named == offered - {"version"}


@pytest.mark.parametrize("page", [README, COMMANDS], ids=["README", "commands"])
def test_the_options_that_a_page_shows_exist(agentctl, page):
    sub_commands = "backfill|get|set|unset|install|print"
    for command, below, option in re.findall(rf"agentctl ([a-z]+)(?: ({sub_commands}))?[^`\n]* (--?[a-z-]+)", page):
        assert option in agentctl(*filter(None, (command, below)), "--help").out, f"agentctl {command} {below} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_first_screen_has_one_command_that_runs_and_one_that_tests():
    screen = README.splitlines()[:FIRST_SCREEN]
    commands = [line.strip() for line in screen if line.startswith("    python3 -m venv ")]
    assert len(commands) == 2
    assert commands[0].endswith(".venv/bin/agentctl run loops/health.yaml")
    assert " -m pytest " in commands[1]


def test_the_picture_shows_the_steps_that_the_loop_has(agentctl, repository, project):
    shutil.copytree(repository / "loops", project.root / "loops", dirs_exist_ok=True)
    shutil.copytree(repository / "skills", project.root / "skills", dirs_exist_ok=True)
    agentctl("run", "loops/health.yaml")
    picture = re.search(r"^```\n✓ infra-health-check.*?\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    shown = [line.split()[1] for line in picture[1].splitlines()]
    real = [step["path"].split(".")[-1] for step in agentctl("show", "last", "--json").json["steps"]]
    assert sorted(step for step in shown if step != "fallback") == sorted(real)


def test_killing_and_resuming_works_as_the_readme_tells_it(agentctl, repository, tmp_path):
    example = tmp_path / "examples" / "ticket-queue"
    left_behind = shutil.ignore_patterns(".agentctl", "outbox.db*", "__pycache__")
    shutil.copytree(repository / "examples" / "ticket-queue", example, ignore=left_behind)
    block = re.search(r"^## Kill it\n.*?\n\n(    .*?)\n\n", README, re.DOTALL | re.MULTILINE)[1]
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "activate").write_text(f"PATH={scripts}:$PATH\n")
    (scripts / "agentctl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agentctl "$@"\n')
    (scripts / "agentctl").chmod(0o755)

    done = subprocess.run(
        ["bash", "-c", block], cwd=tmp_path, env=agentctl.environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    [run] = agentctl("history", "--json", cwd=example).json
    assert run["status"] == "succeeded"
    journal = agentctl("show", "last", "--json", cwd=example).json["events"]
    assert "RunRecovered" in [event["type"] for event in journal]
    with closing(sqlite3.connect(example / "outbox.db")) as mails:
        assert mails.execute("select count(*), count(distinct ticket) from outbox").fetchone() == (8, 8)


def test_the_changelog_tells_of_this_version():
    assert f"## [{package.__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_lock_names_every_dependency_with_a_hash():
    entries = re.split(r"\n(?=[a-z])", LOCK)[1:]
    locked = {re.split(r"[=\[ ]", entry)[0].replace("_", "-").replace(".", "-") for entry in entries}
    wanted = {
        re.split(r"[<>=!\[ ]", requirement)[0].replace("_", "-").replace(".", "-").lower()
        for requirements in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
        for requirement in requirements
    }
    assert wanted - {"agentctl"} <= locked
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_names_no_index_host_or_place():
    assert re.findall(r"https?:|file:|--index|--extra-index|--find-links|(?<!\w)/\w+/", LOCK) == []


def test_no_malicious_or_broken_release_of_litellm_can_be_installed():
    [litellm] = [requirement for requirement in PROJECT["dependencies"] if requirement.startswith("litellm")]
    refused = ["1.82.7", "1.82.8", "1.106.0", "1.106.1", "1.106.2", "1.107.0"]
    assert [version for version in refused if f"!={version}" not in litellm] == []
    assert not any(f"litellm=={version} " in LOCK for version in refused)
