"""The example `charge-once`, run as its README says."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

LOOP = "loops/charge-order.yaml"


@pytest.fixture
def bank(tmp_path: Path, repository: Path, agentctl: Any) -> Path:
    """A copy of the example, in which commands run."""
    folder = tmp_path / "charge-once"
    shutil.copytree(repository / "examples/charge-once", folder, ignore=shutil.ignore_patterns(".agentctl", "book.csv"))
    agentctl.cwd = folder
    return folder


def book(folder: Path) -> list[str]:
    file = folder / "book.csv"
    return file.read_text().split() if file.exists() else []


def test_a_second_run_for_an_order_is_handed_the_receipt(bank: Path, agentctl: Any) -> None:
    first = agentctl("run", LOOP, "-i", "order=A1", "--json")
    second = agentctl("run", LOOP, "-i", "order=A1", "--json")
    assert first.json["output"] == second.json["output"] == {"receipt": "R-A1"}
    assert book(bank) == ["charge,A1,1999"]


def test_an_order_that_cannot_be_shipped_is_refunded_and_may_be_charged_again(bank: Path, agentctl: Any) -> None:
    assert agentctl("run", LOOP, "-i", "order=sold-out-2").code == 1
    assert agentctl("run", LOOP, "-i", "order=sold-out-2").code == 1
    assert book(bank) == ["charge,sold-out-2,1999", "refund,sold-out-2,1999"] * 2


def test_killed_while_the_money_moves_it_finds_the_charge_and_does_not_charge_again(bank: Path, agentctl: Any) -> None:
    process = agentctl.start("run", LOOP, "-i", "order=A3", cwd=bank, env={"BANK_SLOW": "1"})
    end = time.monotonic() + 20
    while not book(bank):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.communicate()
    resumed = agentctl("resume", "last", "--json")
    assert (resumed.code, resumed.json["output"]) == (0, {"receipt": "R-A3"})
    assert book(bank) == ["charge,A3,1999"]
