"""What becomes of slots that passed while nobody served, and of those that meet a run that is still going."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.triggers.policies import admit, catch_up, settle
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


@pytest.mark.parametrize("policy", ["queue", "skip", "cancel_running"])
def test_a_slot_that_meets_no_run_starts_one(policy):
    admission = admit(policy, [])
    assert (admission.outcome, admission.after, admission.cancel, admission.reason) == ("start", (), (), "")


def test_queue_waits_for_the_runs_that_are_still_going():
    admission = admit("queue", ["a", "b"])
    assert (admission.outcome, admission.after, admission.cancel) == ("queue", ("a", "b"), ())
    assert admission.reason == "2 runs were still going, and overlap: queue waits for them"


def test_skip_makes_no_run_and_says_which_one_was_in_the_way():
    admission = admit("skip", ["a"])
    assert (admission.outcome, admission.after, admission.cancel) == ("overlapped", (), ())
    assert admission.reason == "run a was still going, and overlap: skip starts no other"


def test_cancel_running_cancels_what_is_going_and_starts_after_it():
    admission = admit("cancel_running", ["a", "b"])
    assert (admission.outcome, admission.after, admission.cancel) == ("queue", ("a", "b"), ("a", "b"))
