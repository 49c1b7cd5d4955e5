"""The example `sqlite-action`: an action that a package adds from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def shop(tmp_path, agentctl, repository, install):
    folder = tmp_path / "sqlite-action"
    shutil.copytree(repository / "examples/sqlite-action", folder, ignore=shutil.ignore_patterns(".agentctl", "__pycache__"))
    agentctl.cwd = folder
    install(folder)
    subprocess.run([sys.executable, "make_shop.py"], cwd=folder, check=True)
    return folder


def test_a_loop_runs_the_action_of_an_installed_package(shop, agentctl):
    ran = agentctl("run", "loops/open-orders.yaml", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["output"] == {"count": 2, "price": 270.0}
    assert agentctl("test").code == 0
    agentctl("run", "loops/open-orders.yaml", "-i", "price=500")
    assert agentctl("show", "last", "--json").json["steps"][0]["output"] == []


def test_its_keys_are_checked_and_its_errors_have_their_types(shop, agentctl):
    loop = shop / "loops/open-orders.yaml"
    loop.write_text(loop.read_text().replace("query:", "qeury:"))
    [problem, *_] = agentctl("validate", "loops/open-orders.yaml", "--json").json
    assert (problem["code"], "did you mean 'query'" in problem["message"]) == ("unknown-key", True)
    loop.write_text(loop.read_text().replace("qeury:", "query:").replace("FROM orders", "FROM nothing"))
    error = agentctl("run", "loops/open-orders.yaml", "--json").json["error"]
    assert (error["type"], error["attempts"]) == ("sqlite.failed", 1)
    assert "sqlite" in agentctl("schema").json["$defs"]["step"]["properties"]


def test_without_the_package_the_loop_is_refused(shop, agentctl):
    agentctl.env.clear()
    assert agentctl("run", "loops/open-orders.yaml").code == 2
