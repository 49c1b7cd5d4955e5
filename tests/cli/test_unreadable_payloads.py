"""A large text that is gone is a problem of its run, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LARGE = """
loop: large
input: {text: {type: string}}
steps: [{set: {answer: 43}}]
"""
SMALL = "loop: small\nsteps: [{set: {answer: 42}}]\n"


@pytest.fixture
def damaged(agentctl: Any, project: Any) -> tuple[str, Path]:
    """A project with a run whose input is gone, and one that is well: the id of the first, and a file that it lacks."""
    project.write("loops/large.yaml", LARGE)
    project.write("loops/small.yaml", SMALL)
    project.write("input.json", json.dumps({"text": "x" * (2 << 20)}))
    run_id = agentctl("run", "large", "--input-file", "input.json", "--json").json["run_id"]
    assert agentctl("run", "small", "--json").code == 0
    files = list((project.store.parent / "payloads").iterdir())
    for file in files:
        file.unlink()
    return run_id, files[0]


def test_history_and_export_go_on(agentctl: Any, damaged: tuple[str, Path]) -> None:
    run_id, _ = damaged
    statuses = {row["loop"]: row["status"] for row in agentctl("history", "--json").json}
    assert statuses == {"large": "succeeded", "small": "succeeded"}
    exported = {shown["run"]["loop"]: shown["run"] for shown in agentctl("export", "--json").json}
    assert exported["small"]["error"] is None
    assert exported["large"]["run_id"] == run_id
    assert exported["large"]["error"]["type"] == "store.payload"


def test_show_names_the_file_that_is_missing(agentctl: Any, damaged: tuple[str, Path]) -> None:
    run_id, file = damaged
    shown = agentctl("show", run_id, "--json")
    assert shown.code == 0
    assert file.name in shown.json["run"]["error"]["message"]
    assert agentctl("show", run_id).code == 0


def test_doctor_finds_it_and_names_the_run(agentctl: Any, damaged: tuple[str, Path]) -> None:
    run_id, file = damaged
    findings = [found for found in agentctl("doctor", "--json").json if found["check"] == "store.payloads"]
    assert {found["status"] for found in findings} == {"error"}
    assert any(file.name in found["message"] and run_id in found["message"] for found in findings)


def test_doctor_finds_an_output_that_is_a_file(agentctl: Any, project: Any) -> None:
    project.write("loops/lines.yaml", "loop: lines\nsteps: [{shell: seq 300000}]\n")
    run_id = agentctl("run", "lines", "--json").json["run_id"]
    [file] = (project.store.parent / "payloads").iterdir()
    file.unlink()
    [finding] = [found for found in agentctl("doctor", "--json").json if found["check"] == "store.payloads"]
    assert (finding["status"], run_id in finding["message"]) == ("error", True)
    assert agentctl("show", run_id, "--json").json["run"]["output"]["sha256"] == file.name


def test_other_runs_go_on(agentctl: Any, damaged: tuple[str, Path]) -> None:
    assert agentctl("run", "small", "--json").json["status"] == "succeeded"
    assert agentctl("stats", "--json").code == 0
