"""What the shell offers at TAB. Each call is the one that the installed completion script makes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LIGHT_ENOUGH = {"asyncio", "jsonschema", "jinja2", "litellm", "httpx", "httpx2", "sqlite_utils", "pydantic", "rich"}


@pytest.fixture
def complete(agentctl):
    """The words offered for a command line that ends where the cursor is."""

    def offered(line: str) -> list[str]:
        words = line.split(" ")
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_AGENTCTL_COMPLETE": "complete_bash"}
        result = agentctl(env=environment)
        assert (result.code, result.err) == (0, "")
        return result.out.split()

    return offered


@pytest.fixture
def runs(agentctl, project) -> dict[str, str]:
    """name -> id of a run that succeeded, one that failed, one that waits."""
    project.write("loops/fine.yaml", "loop: fine\nsteps: [{id: one, set: {a: 1}}, {id: other, set: {a: 1}}]\n")
    project.write("loops/fails.yaml", "loop: fails\nsteps: [{id: broken, fail: no}]\n")
    project.write("skills/sleeps.yaml", "skill: sleeps\nsteps: [{wait: 1h}]\n")
    for name, *more in (["fine"], ["fails"], ["sleeps", "--no-wait"]):
        agentctl("run", name, *more)
    return {row["loop"]: row["run_id"] for row in agentctl("history", "--json").json}


def test_run_offers_loops_and_skills(complete, runs):
    assert complete("agentctl run ") == ["fails", "fine", "sleeps"]
    assert complete("agentctl run fi") == ["fine"]


def test_for_a_file_we_offer_nothing_so_that_the_shell_offers_files(complete, runs):
    assert complete("agentctl run loops/f") == []


@pytest.mark.parametrize("command", ["show", "logs"])
def test_reading_commands_offer_every_run_newest_first(complete, runs, command):
    assert complete(f"agentctl {command} ") == ["last", runs["sleeps"], runs["fails"], runs["fine"]]
    assert complete(f"agentctl {command} {runs['fails'][:6]}") == [runs["fails"]]


def test_resume_offers_runs_that_can_go_on(complete, runs):
    assert complete("agentctl resume ") == ["last", runs["sleeps"], runs["fails"]]


def test_cancel_offers_runs_that_have_not_ended(complete, runs):
    assert complete("agentctl cancel ") == ["last", runs["sleeps"]]


def test_resume_from_offers_the_steps_of_the_run_on_the_line(complete, runs):
    assert complete(f"agentctl resume {runs['fine']} --from o") == ["one", "other"]
    assert complete("agentctl resume no-such-run --from ") == []


def test_history_offers_names_statuses_triggers_and_parents(complete, runs):
    assert complete("agentctl history --loop f") == ["fails", "fine"]
    assert complete("agentctl history --status s") == ["succeeded"]
    assert complete("agentctl history --trigger m") == ["manual"]
    assert runs["fine"] in complete("agentctl history --parent ")


def test_schedule_offers_definitions_and_backfill_which_takes_one(complete, runs):
    assert complete("agentctl schedule ") == ["backfill", *sorted(runs)]
    assert complete("agentctl schedule b") == ["backfill"]
    assert complete("agentctl schedule backfill f") == ["fails", "fine"]
    assert complete("agentctl schedule backfill --plan fi") == ["fine"]
    assert complete("agentctl schedule backfill fine ") == []
    assert complete("agentctl schedule fine ") == []


def test_graph_offers_definitions_runs_and_formats(complete, runs):
    assert set(complete("agentctl graph ")) == {"last", *runs, *runs.values()}
    assert complete("agentctl graph fine --format m") == ["mermaid"]


def test_commands_and_options_are_offered(complete):
    assert complete("agentctl sho") == ["show"]
    assert "--no-wait" in complete("agentctl run --no")


def test_after_a_misspelt_command_commands_are_offered_without_an_error(complete):
    assert "show" in complete("agentctl shwo ")


def test_another_store_is_asked_when_the_line_names_it(complete, agentctl, project, runs, tmp_path):
    agentctl("run", "fine", "--db", tmp_path / "other.db")
    offered = complete(f"agentctl show --db {tmp_path / 'other.db'} ")
    assert len(offered) == 2
    assert not set(offered) & set(runs.values())


@pytest.mark.parametrize("line", ["agentctl show ", "agentctl run ", "agentctl resume x --from "])
def test_a_broken_project_offers_nothing_and_says_nothing(complete, project, line):
    project.write("agentctl.yaml", "sotre: x\n")
    assert complete(line) == []


def test_a_store_that_is_no_database_offers_nothing(complete, project):
    project.write(".agentctl/agentctl.db", "no database" * 1000)
    assert complete("agentctl show ") == []


def test_before_the_first_run_nothing_is_offered_and_no_store_made(complete, project):
    assert complete("agentctl show ") == []
    assert not project.store.exists()


def test_zsh_and_fish_are_told_what_a_run_is(agentctl, runs):
    for shell, more in (("zsh", {}), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"})):
        environment = {"_TYPER_COMPLETE_ARGS": "agentctl show ", "_AGENTCTL_COMPLETE": f"complete_{shell}", **more}
        out = agentctl(env=environment).out
        assert runs["fails"] in out
        assert "fails failed" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(agentctl, shell):
    result = agentctl("--show-completion", shell)
    assert result.code == 0
    assert "_AGENTCTL_COMPLETE" in result.out


def test_completing_imports_nothing_heavy(runs, project, repository):
    (project.root / "agentctl.yaml").unlink()
    code = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from agentctl.cli.app import main
main([])
"""
    environment = {**os.environ, "PYTHONPATH": str(repository), "COMP_WORDS": "agentctl show ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env={**environment, "_AGENTCTL_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert runs["fine"] in done.stdout
    assert {name.split(".")[0] for name in done.stderr.split()} & LIGHT_ENOUGH == set()


def test_approve_offers_the_steps_that_ask(complete, agentctl, project):
    steps = "[{id: a, set: {n: 1}, needs: []}, {id: sign, needs: [], approve: ship it}]"
    project.write("loops/asks.yaml", f"loop: asks\nsteps: {steps}\n")
    agentctl("run", "asks", "--no-wait")
    assert complete("agentctl approve last ") == ["sign"]
    assert complete("agentctl reject last s") == ["sign"]
