"""Paths of a store's own files: recorded so that the store can be moved, and never mistaken for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import StepSucceeded
from agentctl.store.runs.payloads import LARGEST_TEXT, Payloads

HERE, THERE = Path("/srv/pro ject \"ü\"/.agentctl/payloads"), Path("/other/payloads")


def moved(value: Any) -> Any:
    """Written into a store at one place, read when it is at another."""
    return Payloads(THERE).read_json(Payloads(HERE).json(value))


def test_the_path_of_a_kept_file_leads_to_where_the_store_is_now() -> None:
    output = {"file": f"{HERE}/abc", "bytes": 7, "sha256": "abc"}
    assert moved([output, {f"{HERE}/abc": 1}]) == [{**output, "file": f"{THERE}/abc"}, {f"{THERE}/abc": 1}]


def test_so_does_that_in_an_event() -> None:
    text = Payloads(HERE).event(StepSucceeded(at=1.0, path="a", output={"file": f"{HERE}/abc"}))
    assert str(HERE) not in text
    assert Payloads(THERE).read_event(text).output == {"file": f"{THERE}/abc"}  # type: ignore[union-attr]  # it is the same event


@pytest.mark.parametrize(
    "text",
    [
        *("/", "\\/", '"\\/', '"/', '\\"\\/', "\\\\/", '","\\/', "\\u002f", '"', "\\"),
        *('"\\/payloads/', "\\/payloads/", '\\"\\/payloads/', '","\\/payloads/', "payloads/"),
        *(str(HERE), f"{HERE}x/abc", f"cat {HERE}/abc", f"{HERE.parent}/abc"),
    ],
)
def test_any_other_text_is_read_as_it_was_written(text: str) -> None:
    for value in (text, [text, text], {text: text}, {"a": {"b": text}}):
        assert moved(value) == value


def test_a_row_too_large_for_the_store_is_moved_as_well(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    value = {"file": f"{one}/abc", "rest": "x" * LARGEST_TEXT}
    text = Payloads(one).json(value)
    assert text is not None
    assert text.startswith("@")
    one.rename(other)
    assert Payloads(other).read_json(text) == {**value, "file": f"{other}/abc"}
