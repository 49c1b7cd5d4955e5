"""The purchase of examples/approval, as its README describes it."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def purchase(tmp_path, agentctl, repository) -> str:
    """The id of a purchase that waits for its signature; commands run in a copy of the example."""
    agentctl.cwd = tmp_path / "approval"
    shutil.copytree(repository / "examples/approval", agentctl.cwd, ignore=shutil.ignore_patterns(".agentctl"))
    result = agentctl("run", "purchase.yaml", "--no-wait", "--json")
    assert result.code == 3, result.err
    return result.json["run_id"]


def test_a_purchase_is_signed_announced_and_delivered(agentctl, purchase):
    [entry] = agentctl("inbox", "--json").json
    assert entry["subject"]["message"] == "Order 4 desks for 980 EUR?"
    assert entry["subject"]["show"] == {"number": purchase, "item": "4 desks", "price": 980}
    assert agentctl("approve", "last").code == 2
    assert agentctl("approve", "last", "--data", "cost_center=12", "--comment", "before Friday").code == 0
    # the delivery is told before the run has even come to its wait, and once more
    for duplicate in (False, True):
        data = f'{{"number": "{purchase}", "pieces": 4}}'
        sent = agentctl("send", "goods.delivered", "-d", data, "--id", "delivery-1", "--json")
        assert sent.json["duplicate"] is duplicate
    resumed = agentctl("resume", "last", "--json")
    assert resumed.code == 0, resumed.err
    assert (resumed.json["output"]["item"], resumed.json["output"]["delivered"]) == ("4 desks", 4)
    announced = {step["path"]: step["output"] for step in agentctl("show", "last", "--json").json["steps"]}["announce"]
    assert (announced["name"], announced["data"]) == ("purchase.ordered", {"number": purchase, "cost_center": 12})


def test_a_rejected_purchase_is_announced_to_nobody(agentctl, purchase):
    assert agentctl("reject", purchase, "--comment", "too dear").code == 0
    resumed = agentctl("resume", purchase, "--json")
    assert (resumed.code, resumed.json["error"]["type"]) == (1, "approval.rejected")
    steps = {step["path"]: step["status"] for step in agentctl("show", purchase, "--json").json["steps"]}
    assert (steps["announce"], steps["delivery"]) == ("not_run", "not_run")
