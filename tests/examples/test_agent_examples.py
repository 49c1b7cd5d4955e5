"""The agents among the examples, played by their own tests: in virtual time, without a model, with a crash at every commit."""

from __future__ import annotations

import shutil

import pytest


@pytest.mark.parametrize("name", ["support-desk", "research-desk"])
def test_the_tests_of_an_example_pass_and_crashes_change_nothing(tmp_path, agentctl, repository, name):
    agentctl.cwd = tmp_path / name
    shutil.copytree(repository / "examples" / name, agentctl.cwd, ignore=shutil.ignore_patterns(".agentctl", "__pycache__"))
    result = agentctl("test", "--crash-everywhere", "--json", timeout=120)
    assert (result.code, result.json["problems"]) == (0, []), result.out
    assert all(case["outcome"] == "passed" for case in result.json["cases"]), result.out
