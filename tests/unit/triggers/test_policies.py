"""What becomes of slots that passed while nobody served, and of those of a pause."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.triggers.policies import catch_up, settle, summed_up
from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import due, next_slots, start

HOUR, DAY = 3600.0, 86_400.0


def hourly(**keys: object) -> Schedule:
    return Schedule(name="heartbeat", kind="every", text="1h", period=HOUR, **keys)


def fired(verdicts) -> list[float]:
    return [verdict.slot for verdict in verdicts if verdict.outcome == "fired"]


@pytest.mark.parametrize(
    ("policy", "limit", "made_up"),
    [("none", 9, []), ("latest", 9, [5.0]), ("all", 9, [1.0, 2.0, 3.0, 4.0, 5.0]), ("all", 2, [4.0, 5.0])],
)
def test_catch_up_makes_up_for_the_newest_slots_that_its_policy_allows(policy, limit, made_up):
    verdicts = list(catch_up([1.0, 2.0, 3.0, 4.0, 5.0], policy, limit))
    assert [verdict.slot for verdict in verdicts] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert fired(verdicts) == made_up
    missed = [verdict for verdict in verdicts if verdict.outcome == "missed"]
    assert all(f"catch_up: {policy} makes up for" in verdict.reason for verdict in verdicts if verdict.outcome == "missed")
    assert len(missed) == 5 - len(made_up)


def test_what_is_made_up_for_says_so():
    (verdict,) = catch_up([1.0], "latest", 100)
    assert (verdict.outcome, verdict.reason) == ("fired", "made up for by catch_up: latest")


def test_nothing_passed_nothing_is_decided():
    assert [list(catch_up([], policy, 100)) for policy in ("none", "latest", "all")] == [[], [], []]


@given(st.lists(st.integers(0, 10**6), unique=True).map(sorted), st.sampled_from(["none", "latest", "all"]), st.integers(1, 9))
def test_every_slot_gets_one_verdict_in_its_order(slots, policy, limit):
    verdicts = list(catch_up(map(float, slots), policy, limit))
    assert [verdict.slot for verdict in verdicts] == slots
    allowed = {"none": 0, "latest": 1, "all": limit}[policy]
    assert fired(verdicts) == slots[len(slots) - min(allowed, len(slots)) :]


def test_a_million_slots_are_judged_one_after_the_other():
    endless = iter(range(10**12))
    first = list(islice(catch_up(map(float, endless), "all", 100), 1000))
    assert [verdict.outcome for verdict in first] == ["missed"] * 1000
    assert next(endless) == 1100


@pytest.mark.parametrize(("policy", "expected"), [("none", 0), ("latest", 1), ("all", 71)])
def test_a_host_that_slept_for_three_days_catches_up_as_told_and_then_goes_on(policy, expected):
    schedule = hourly(catch_up=policy)
    asleep = 1000 * HOUR
    awake = asleep + 3 * DAY - 60
    verdicts = list(settle(schedule, due(schedule, asleep, awake), serving_since=awake))
    assert len(verdicts) == 71
    assert len(fired(verdicts)) == expected
    after = list(settle(schedule, due(schedule, verdicts[-1].slot, awake + HOUR), serving_since=awake))
    assert [(verdict.slot, verdict.outcome, verdict.reason) for verdict in after] == [(asleep + 3 * DAY, "fired", "")]


def test_slots_since_serving_began_fire_however_late_and_whatever_the_policy():
    schedule = hourly(catch_up="none")
    verdicts = list(settle(schedule, next_slots(schedule, 0.0, 5), serving_since=3 * HOUR))
    assert fired(verdicts) == [3 * HOUR, 4 * HOUR, 5 * HOUR]
    assert [verdict.reason for verdict in verdicts[2:]] == ["", "", ""]


def test_a_slot_whose_jitter_had_not_passed_was_not_missed():
    schedule = hourly(catch_up="none", jitter=600.0)
    begins = start(schedule, HOUR)
    assert fired(settle(schedule, [HOUR], serving_since=begins - 1)) == [HOUR]
    assert fired(settle(schedule, [HOUR], serving_since=begins + 1)) == []


def test_after_a_crash_in_the_middle_the_verdicts_go_on_where_they_stopped():
    schedule = hourly(catch_up="latest")
    whole = list(settle(schedule, due(schedule, 0.0, 50 * HOUR), serving_since=50.5 * HOUR))
    recorded = whole[:20]
    rest = list(settle(schedule, due(schedule, recorded[-1].slot, 50 * HOUR), serving_since=50.5 * HOUR))
    assert recorded + rest == whole


def test_slots_of_a_pause_are_skipped_and_those_before_it_are_made_up_for_no_more():
    schedule = hourly(catch_up="all")
    slots = next_slots(schedule, 0.0, 8)
    verdicts = list(settle(schedule, slots, serving_since=6.5 * HOUR, pauses=[(3 * HOUR, 5 * HOUR)]))
    assert [verdict.outcome for verdict in verdicts] == ["missed"] * 2 + ["skipped"] * 2 + ["fired"] * 4
    assert verdicts[1].reason == "nobody served at its time, and the loop was paused before it could be made up for"
    assert {verdict.reason for verdict in verdicts[2:4]} == {"the loop was paused"}
    assert [verdict.reason for verdict in verdicts[4:]] == ["made up for by catch_up: all"] * 2 + [""] * 2


def test_a_pause_that_goes_on_starts_nothing():
    verdicts = settle(hourly(), next_slots(hourly(), 0.0, 4), serving_since=0.0, pauses=[(2.5 * HOUR, math.inf)])
    assert [(verdict.outcome, verdict.reason) for verdict in verdicts] == [
        ("skipped", "the loop was paused before it could start"),
        ("skipped", "the loop was paused before it could start"),
        ("skipped", "the loop was paused"),
        ("skipped", "the loop was paused"),
    ]


def test_what_is_too_much_to_tell_is_told_once_and_is_not_made_up_for():
    verdict = summed_up(hourly(catch_up="all"), 0.0, 5 * HOUR, [])
    assert (verdict.slot, verdict.outcome) == (5 * HOUR, "missed")
    assert verdict.reason.startswith("nobody served at its time")
    assert "all slots before it since 1970-01-01T00:00:00.000Z" in verdict.reason
    assert summed_up(hourly(), 0.0, 5 * HOUR, [(4 * HOUR, math.inf)]).outcome == "skipped"


@given(
    st.sampled_from(["none", "latest", "all"]),
    st.floats(0, 30),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)).map(sorted), max_size=3),
    st.sampled_from([0.0, 900.0, 20_000.0]),
)
def test_whatever_happened_every_slot_gets_one_verdict_and_none_of_a_pause_fires(policy, since, pauses, jitter):
    schedule = hourly(catch_up=policy, jitter=jitter)
    slots = next_slots(schedule, 0.0, 24)
    spans = [(begin * HOUR, end * HOUR) for begin, end in pauses]
    verdicts = list(settle(schedule, slots, since * HOUR, spans))
    assert [verdict.slot for verdict in verdicts] == slots
    for verdict in verdicts:
        is_paused = any(begin <= verdict.slot < end for begin, end in spans)
        assert (verdict.reason == "the loop was paused") == is_paused
        assert not (is_paused and verdict.outcome == "fired")
