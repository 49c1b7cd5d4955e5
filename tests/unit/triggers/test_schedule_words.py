"""Schedules in English."""

from __future__ import annotations

import pytest

from agentctl.triggers.describe import in_words, manners
from agentctl.triggers.schedule import Schedule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/30 * * * *", "every 30 minutes"),
        ("0 * * * *", "every hour"),
        ("15,45 * * * *", "at minutes 15 and 45 of every hour"),
        ("0 */6 * * *", "every 6 hours"),
        ("5 */6 * * *", "every 6 hours at minute 5"),
        ("30 2 * * *", "at 02:30 every day"),
        ("30 2 * jan *", "at 02:30 every day in January"),
        ("0 9,13 * * mon,thu", "at 09:00 and 13:00 on Monday and Thursday"),
        ("0 9 * * 1-5", "at 09:00 on Monday to Friday"),
        ("0 5 * * 7", "at 05:00 on Sunday"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00 every day"),
        ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:59 on Monday to Friday"),
        ("0 0 1 * *", "at 00:00 on day 1 of the month"),
        ("0 0 29 2 *", "at 00:00 on day 29 in February"),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month or on Friday"),
        ("7,9,11 1-3 * * *", "at minutes 7, 9 and 11 of the hours 1 to 3 every day"),
    ],
)
def test_a_usual_expression_is_told_in_english(text, words):
    assert in_words(Schedule(name="x", kind="cron", text=text, timezone="Europe/Berlin")) == f"{words}, in Europe/Berlin"


@pytest.mark.parametrize("text", ["0 12 L * *", "H H * * *", "0 9 * * mon#2", "*/7 * * * *", "0 22 * * sat-mon", "0 0 */2 * *"])
def test_an_expression_without_simple_words_is_told_as_it_is_written(text):
    assert in_words(Schedule(name="x", kind="cron", text=text)) == f"by the cron expression {text}, in UTC"


@pytest.mark.parametrize(
    ("period", "words"),
    [
        (0.5, "every 500ms"),
        (1.0, "every second"),
        (90.0, "every 90 seconds"),
        (5400.0, "every 90 minutes"),
        (3600.0, "every hour"),
        (604800.0, "every 7 days"),
    ],
)
def test_an_interval_is_told_in_its_largest_whole_unit(period, words):
    assert in_words(Schedule(name="x", kind="every", text="", period=period)) == words


def test_only_what_differs_from_the_default_is_told():
    assert manners(Schedule(name="x", kind="every", text="1m", period=60.0)) == []
    special = Schedule(
        name="x",
        kind="cron",
        text="* * * * *",
        catch_up="all",
        limit=7,
        jitter=90.0,
        overlap="cancel_running",
        gap="skip",
        fold="twice",
    )
    assert [said[said.index("(") :] for said in manners(special)] == [
        "(jitter)",
        "(catch_up: all)",
        "(overlap: cancel_running)",
        "(dst gap: skip)",
        "(dst fold: twice)",
    ]
    assert "the last 7 slots" in manners(special)[1]
