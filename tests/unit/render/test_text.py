"""Foreign text is harmless, times and lengths read well."""

from __future__ import annotations

import pytest

from agentctl.core.events import Error, Usage
from agentctl.render import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ✓ é", "plain ✓ é"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("file\u202egnp.exe", "file\\u202egnp.exe"),
        ("\x9b2J", "\\x9b2J"),
        ("half \ud800", "half �"),
    ],
)
def test_control_characters_are_written_out(raw: str, shown: str) -> None:
    assert text.visible(raw) == shown


def test_longer_text_keeps_its_lines_and_tabs() -> None:
    assert text.visible("a\n\tb\x07", lines=True) == "a\n\tb\\x07"


def test_the_first_line_skips_blank_ones_and_is_cut() -> None:
    assert text.first_line("\n\n  hello world  \nmore", 8) == "hello w…"


def test_wide_characters_take_two_columns_when_text_is_cut_or_filled() -> None:
    assert text.cut("漢字漢字", 5) == "漢字…"
    assert text.pad("漢字", 6) == "漢字  "


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123, "0.12s"),
        (4.25, "4.2s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (80, "1m 20s"),
        (3600, "1h"),
        (7500, "2h 5m"),
        (273600, "3d 4h"),
    ],
)
def test_lengths_of_time_are_short_and_exact_enough(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


def test_a_time_is_told_relative_to_now() -> None:
    assert [text.ago(100.0, now) for now in (100.5, 112.0, 400.0, 90.0)] == ["just now", "12s ago", "5m ago", "in 10s"]


def test_a_summary_is_one_line_whatever_the_value() -> None:
    assert text.summary({"a": [1, "x\ny"]}) == '{"a":[1,"x\\ny"]}'
    assert text.summary("one\ntwo") == "one"
    assert text.summary(None) == ""


def test_an_error_is_shown_by_type_and_first_line() -> None:
    assert text.error_line(Error("shell.exit", "exit code 3\nlong story")) == "shell.exit: exit code 3"


def test_usage_tells_tokens_and_price_where_there_are_any() -> None:
    assert text.usage_text(Usage(1000, 204, usd=0.0031)) == "1,204 tokens, $0.0031"
    assert text.usage_text(Usage()) == text.usage_text(None) == ""
