"""What becomes of a start as it arrives: created, a duplicate, skipped; and whom it ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.core.flow import Limits, LimitState, Once, Place, Window, arrival, group, in_words, keeps_place, named, superseded

PLACE = Place("triage concurrency", 2)
RATE = Window("triage rate_limit", 2, 60.0)
ONCE = Once('triage dedupe "k"', 10.0)


def members(count: int) -> dict[str, list[str]]:
    return {PLACE.group: [f"r{number}" for number in range(count)]}


def place(on_limit: Any, **more: Any) -> Limits:
    return Limits(places=(Place(PLACE.group, 2, on_limit, **more),))


def test_without_limits_a_run_is_made() -> None:
    assert arrival(Limits(), LimitState(), 0.0).outcome == "create"


@pytest.mark.parametrize("going", [0, 1, 2, 50])
def test_queue_always_makes_a_run_and_ends_none(going: int) -> None:
    assert arrival(place("queue"), LimitState(members=members(going)), 0.0) == arrival(Limits(), LimitState(), 0.0)


def test_skip_makes_a_run_while_there_is_room_for_it() -> None:
    assert arrival(place("skip"), LimitState(members=members(1)), 0.0).outcome == "create"
    refused = arrival(place("skip"), LimitState(members=members(2)), 0.0)
    assert (refused.outcome, refused.run_id) == ("skipped", None)
    assert refused.reason == "concurrency 2 of triage is taken by runs r0 and r1, and on_limit: skip starts no other"


def test_a_slot_that_meets_the_run_of_an_earlier_one_has_overlapped() -> None:
    refused = arrival(place("skip", overlap=True), LimitState(members=members(2)), 0.0)
    assert (refused.outcome, refused.reason) == ("overlapped", "run r0 was still going, and overlap: skip starts no other")


def test_cancel_running_ends_the_oldest_and_keeps_the_newest() -> None:
    assert arrival(place("cancel_running"), LimitState(members=members(1)), 0.0).cancel == ()
    assert arrival(place("cancel_running"), LimitState(members=members(4)), 0.0).cancel == ("r0", "r1", "r2")


@given(st.integers(0, 20), st.integers(1, 20))
def test_with_the_new_run_as_many_stay_as_the_limit_allows_the_newest(count: int, limit: int) -> None:
    runs = [f"r{number}" for number in range(count)]
    ended = list(superseded(runs, limit))
    stay = [*runs, "new"][len(ended) :]
    assert len(stay) == min(count + 1, limit)
    assert ended + stay == [*runs, "new"]


def test_a_repeated_key_gives_the_first_run_whatever_else_is_full() -> None:
    limits = Limits(dedupe=ONCE, rate_limit=RATE, places=place("skip").places)
    met = LimitState(first="r9", rate_ends=[99.0] * 5, members=members(5))
    assert (arrival(limits, met, 0.0).outcome, arrival(limits, met, 0.0).run_id) == ("duplicate", "r9")


@given(st.lists(st.integers(0, 20), max_size=6), st.integers(1, 4), st.integers(0, 20))
def test_rate_limit_drops_what_exceeds_its_span(ends: list[int], limit: int, now: int) -> None:
    said = arrival(Limits(rate_limit=Window("g rate_limit", limit, 5.0)), LimitState(rate_ends=ends), now)
    counted = len([end for end in ends if end > now])
    assert said.outcome == ("create" if counted < limit else "skipped")


@pytest.mark.parametrize(
    ("status", "attended", "keeps"),
    [
        ("running", True, True),
        ("running", False, False),
        ("queued", False, False),
        ("interrupted", False, False),
        ("waiting", False, True),
        ("blocked", False, True),
    ],
)
def test_a_run_that_was_cut_off_keeps_its_place_only_while_somebody_alive_will_go_on_with_it(
    status: str, attended: bool, keeps: bool
) -> None:
    assert keeps_place(status, attended) is keeps


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 and true are different."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(JSONS, JSONS)
def test_two_keys_are_one_group_exactly_when_they_are_equal(one: Any, other: Any) -> None:
    assert (group("x", "throttle", one) == group("x", "throttle", other)) is same(one, other)


def test_the_order_of_a_keys_names_makes_no_other_group() -> None:
    assert group("x", "throttle", {"a": 1, "b": 2}) == group("x", "throttle", {"b": 2, "a": 1})


@given(st.text(min_size=300, max_size=2000))
def test_the_text_of_a_group_stays_short(key: str) -> None:
    assert len(group("x", "throttle", key)) < 300


def test_a_limit_is_said_in_words() -> None:
    assert in_words(group("triage", "concurrency"), 1) == "concurrency 1 of triage"
    assert in_words(group("triage", "throttle", "web"), 10, 60.0) == 'throttle 10 in 1m of triage for "web"'


def test_several_runs_are_named_in_words() -> None:
    assert [named(list("abcde"[:count])) for count in (1, 2, 3, 5)] == [
        "run a",
        "runs a and b",
        "runs a, b and 1 more",
        "runs a, b and 3 more",
    ]
