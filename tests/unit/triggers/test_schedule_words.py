"""Schedules in English."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from agentctl.triggers.describe import in_words, manners
from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import next_slots


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/30 * * * *", "every 30 minutes"),
        ("0 * * * *", "every hour"),
        ("@hourly", "every hour"),
        ("15,45 * * * *", "at 15 and 45 minutes past the hour"),
        ("0 */6 * * *", "every 6 hours"),
        ("30 2 * * *", "at 02:30, every day"),
        ("@daily", "at 00:00, every day"),
        ("@weekly", "at 00:00, only on Sunday"),
        ("30 2 * jan *", "at 02:30, only in January"),
        ("0 9,13 * * mon,thu", "at 09:00 and 13:00, only on Monday and Thursday"),
        ("0 9 * * 1-5", "at 09:00, Monday through Friday"),
        ("0 5 * * 7", "at 05:00, only on Sunday"),
        ("*/15 9-17 * * 1-5", "every 15 minutes, between 09:00 and 17:59, Monday through Friday"),
        ("0 0 1 * *", "at 00:00, on day 1 of the month"),
        ("0 12 L * *", "at 12:00, on the last day of the month"),
        ("0 9 * * mon#2", "at 09:00, on the second Monday of the month"),
        ("0 22 * * sat-mon", "at 22:00, Saturday through Monday"),
        ("*/90 * * * *", "every hour"),
        ("0 9 */31 * *", "at 09:00, on day 1 of the month"),
    ],
)
def test_an_expression_is_described_in_english(text, words):
    assert in_words(Schedule(name="x", kind="cron", text=text, timezone="Europe/Berlin")) == f"{words}, in Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 9-9 * * *", "at 09:00, every day"),
        ("0 0 * * fri-fri", "at 00:00, only on Friday"),
        ("0 0 * * 0-7", "at 00:00, every day"),
        ("0 0 * * sun-sat", "at 00:00, every day"),
        ("0 0 13 * 0-7", "at 00:00, every day"),
        ("0 0 2,16 * mon-fri", "at 00:00, on day 2 and 16 of the month, or at 00:00, Monday through Friday"),
    ],
)
def test_the_words_and_the_slots_of_an_odd_expression_agree(text, words):
    schedule = Schedule(name="x", kind="cron", text=text)
    assert in_words(schedule) == f"{words}, in UTC"
    days = [datetime.fromtimestamp(slot, UTC) for slot in next_slots(schedule, 1_700_000_000.0, 60)]
    if "every day" in words:
        assert {later - first for first, later in pairwise(days)} == {timedelta(days=1)}
    elif "or" in words:
        assert all(day.day in (2, 16) or day.weekday() < 5 for day in days)
        assert any(day.weekday() >= 5 for day in days)
    else:
        assert {day.day for day in days} == {13} or {day.weekday() for day in days} == {4}


def test_the_hash_of_a_name_is_described_by_the_time_that_it_stands_for():
    schedule = Schedule(name="nightly", kind="cron", text="H H(0-2) * * *")
    first = datetime.fromtimestamp(next_slots(schedule, 0.0, 1)[0], UTC)
    assert in_words(schedule) == f"at {first:%H:%M}, every day, in UTC"


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
