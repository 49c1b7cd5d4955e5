"""Journals that real runs wrote fold to the same state for ever, and each of their prefixes is a place to go on from."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import AnyEvent, decode, encode
from agentctl.core.graph import Plan
from agentctl.core.interpreter import fold, take_over
from agentctl.language.load import load_text

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.jsonl"))

_spec = importlib.util.spec_from_file_location("histories_record", HERE / "record.py")
assert _spec is not None
assert _spec.loader is not None
record = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(record)


def history(name: str) -> tuple[Plan, list[AnyEvent], Any]:
    plan = Plan(load_text((HERE / f"{name}.yaml").read_text(), f"{name}.yaml").definition)
    journal = [decode(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
    return plan, journal, json.loads((HERE / f"{name}.json").read_text())


def test_there_are_recordings() -> None:
    assert len(NAMES) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_journal_folds_to_what_it_always_did(name: str) -> None:
    plan, journal, expected = history(name)

    assert record.summary(fold(journal, lambda version: plan)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_of_a_recorded_journal_can_be_taken_over(name: str) -> None:
    plan, journal, _ = history(name)

    for length in range(1, len(journal)):
        state = fold(journal[:length], lambda version: plan)
        decision = take_over(state, journal[length - 1].at)
        assert decision.commands or state.timers or state.is_finished, f"nothing goes on after event {length}"


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_event_is_written_as_it_was(name: str) -> None:
    lines = (HERE / f"{name}.jsonl").read_text().splitlines()

    assert [encode(decode(line)).decode() for line in lines] == lines
