"""The slots of a schedule, one rule a test."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.language.check.flow import trigger
from agentctl.model import Definition, Trigger
from agentctl.triggers.schedule import Schedule, schedules
from agentctl.triggers.slots import due, horizon, next_slots, slots, start, to_come

BERLIN = ZoneInfo("Europe/Berlin")


def cron(text: str, **keys: object) -> Schedule:
    return Schedule(name="heartbeat", kind="cron", text=text, timezone="Europe/Berlin", **keys)


def every(seconds: float, **keys: object) -> Schedule:
    return Schedule(name="heartbeat", kind="every", text=f"{seconds}s", period=seconds, **keys)


def at(text: str, fold: int = 0) -> float:
    """Epoch seconds of a time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def shown(found: list[float]) -> list[str]:
    return [f"{datetime.fromtimestamp(slot, BERLIN):%m-%d %H:%M %Z}" for slot in found]


def test_a_time_that_the_clock_skips_fires_at_the_first_instant_after_the_gap():
    found = next_slots(cron("30 2 * * *"), at("2026-03-28T12:00"), 2)
    assert shown(found) == ["03-29 03:00 CEST", "03-30 02:30 CEST"]


def test_a_time_that_the_clock_skips_can_be_left_out():
    found = next_slots(cron("30 2 * * *", gap="skip"), at("2026-03-28T12:00"), 1)
    assert shown(found) == ["03-30 02:30 CEST"]


def test_all_that_fell_into_a_gap_fires_once_and_together_with_what_is_due_then():
    found = list(slots(cron("*/20 * * * *"), at("2026-03-29T01:30"), at("2026-03-29T03:20")))
    assert shown(found) == ["03-29 01:40 CET", "03-29 03:00 CEST", "03-29 03:20 CEST"]


def test_a_time_that_comes_twice_fires_at_the_first():
    found = next_slots(cron("30 2 * * *"), at("2026-10-24T12:00"), 2)
    assert shown(found) == ["10-25 02:30 CEST", "10-26 02:30 CET"]
    assert shown(next_slots(cron("30 2 * * *"), found[0], 1)) == ["10-26 02:30 CET"]


def test_a_time_that_comes_twice_can_fire_twice():
    found = next_slots(cron("30 2 * * *", fold="twice"), at("2026-10-24T12:00"), 3)
    assert shown(found) == ["10-25 02:30 CEST", "10-25 02:30 CET", "10-26 02:30 CET"]


def test_an_interval_leaves_out_its_beginning_and_holds_its_end():
    noon = at("2026-06-01T12:00")
    assert list(slots(cron("0 * * * *"), noon, noon + 7200)) == [noon + 3600, noon + 7200]
    assert list(slots(cron("0 * * * *"), noon + 0.5, noon + 3599.5)) == []
    assert list(slots(cron("0 * * * *"), noon - 0.5, noon)) == [noon]
    assert list(slots(every(60), noon, noon + 60)) == [noon + 60]


def test_an_interval_that_ends_before_it_begins_has_no_slots():
    noon = at("2026-06-01T12:00")
    assert list(slots(cron("* * * * *"), noon, noon - 3600)) == list(slots(every(1), noon, noon - 3600)) == []


def test_a_day_that_comes_every_eight_years_is_found():
    leap = cron("0 0 29 2 *")
    years = [datetime.fromtimestamp(slot, BERLIN).year for slot in next_slots(leap, at("2095-01-01T00:00"), 3)]
    assert years == [2096, 2104, 2108]


def test_a_hashed_field_is_the_same_at_every_start_and_another_for_another_definition():
    noon = at("2026-06-01T12:00")
    names = [f"loop-{number}" for number in range(8)]
    first = [next_slots(Schedule(name=name, kind="cron", text="H H * * *"), noon, 1) for name in names]
    again = [next_slots(Schedule(name=name, kind="cron", text="H H * * *"), noon, 1) for name in names]
    assert first == again
    assert len({slot for (slot,) in first}) > 4


def test_every_is_counted_from_the_beginning_of_the_epoch_so_that_all_hosts_agree():
    assert next_slots(every(90), 1000.0, 3) == [1080.0, 1170.0, 1260.0]


@given(st.integers(1, 10**7), st.floats(0, 4e9))
def test_every_comes_in_even_steps_of_milliseconds(thousandths, after):
    found = next_slots(every(thousandths / 1000), after, 4)
    assert found[0] > after >= (round(found[0] * 1000) - thousandths) / 1000
    steps = [round(slot * 1000) - round(found[0] * 1000) for slot in found]
    assert steps == [0, thousandths, 2 * thousandths, 3 * thousandths]
    assert round(found[0] * 1000) % thousandths == 0


OFTEN_AND_SELDOM = [every(30), every(0.25), cron("* * * * *"), cron("*/7 9-17 * * mon-fri"), cron("0 0 29 2 *")]


@pytest.mark.parametrize("schedule", OFTEN_AND_SELDOM)
def test_behind_the_horizon_there_are_no_more_slots_than_asked_for(schedule):
    noon = at("2026-06-01T12:00")
    found = list(slots(schedule, horizon(schedule, noon, 500), noon))
    assert len(found) <= 500
    assert schedule.text == "0 0 29 2 *" or len(found) > 100


def test_jitter_delays_the_start_by_up_to_its_length_and_never_by_chance():
    jittered = every(3600, jitter=600.0)
    found = next_slots(jittered, 0.0, 200)
    delays = [start(jittered, slot) - slot for slot in found]
    assert delays == [start(jittered, slot) - slot for slot in found]
    assert 0 <= min(delays) < 30 < 570 < max(delays) < 600
    assert start(every(3600), found[0]) == found[0]


def test_two_loops_are_spread_over_the_jitter():
    one, other = (Schedule(name=name, kind="every", text="1h", period=3600.0, jitter=600.0) for name in ("one", "other"))
    assert start(one, 3600.0) != start(other, 3600.0)


def test_a_slot_is_due_when_its_start_has_come():
    jittered = every(3600, jitter=600.0)
    begins = start(jittered, 7200.0)
    assert begins > 7200.0
    assert list(due(jittered, 3600.0, begins - 0.001)) == []
    assert list(due(jittered, 3600.0, begins)) == [7200.0]


@pytest.mark.parametrize("schedule", [every(30), every(3600, jitter=600.0), every(10, jitter=60.0)])
def test_what_is_not_due_yet_is_to_come_though_jitter_keeps_it_past_its_time(schedule):
    for now in range(7150, 7350, 7):
        is_due = list(due(schedule, 5000.0, float(now)))
        settled = is_due[-1] if is_due else 5000.0
        assert to_come(schedule, settled, float(now), 5) == next_slots(schedule, settled, 5)


def test_a_slot_whose_time_came_before_it_was_looked_at_is_not_to_come():
    assert to_come(every(3600, jitter=600.0), 0.0, 7000.0, 1) == [7200.0]


def test_jitter_longer_than_the_period_lets_no_slot_overtake_another():
    jittered = every(10, jitter=60.0)
    handled, seen = 1000.0, []
    for now in range(1000, 1400):
        seen += list(due(jittered, handled, float(now)))
        handled = seen[-1] if seen else handled
    assert seen == next_slots(jittered, 1000.0, len(seen))
    assert len(seen) > 30


@given(st.lists(st.integers(-5000, 5000), min_size=5, max_size=40), st.sampled_from([every(30), every(7, jitter=20.0)]))
def test_a_clock_that_jumps_gives_no_slot_twice_and_leaves_none_out(jumps, schedule):
    handled = now = 1_000_000.0
    seen: list[float] = []
    for jump in jumps:
        now += jump
        seen += list(due(schedule, handled, now))
        handled = seen[-1] if seen else handled
    assert seen == next_slots(schedule, 1_000_000.0, len(seen))


def test_a_clock_put_back_by_an_hour_by_hand_repeats_nothing():
    minutely = cron("* * * * *")
    noon = at("2026-06-01T12:00")
    assert list(due(minutely, noon, noon - 3600)) == []
    assert list(due(minutely, noon, noon + 60)) == [noon + 60]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_process_that_looks_every_minute_sees_every_slot_of_a_day_once(day, hours):
    schedule = cron("*/30 * * * *", fold="twice", gap="skip")
    begin = at(f"{day}T00:00")
    handled, seen = begin - 1, []
    for now in range(int(begin), int(begin) + hours * 3600, 60):
        seen += list(due(schedule, handled, float(now)))
        handled = seen[-1]
    assert len(seen) == len(set(seen)) == 2 * hours


def triggers(*written: dict[str, object]) -> tuple[Trigger, ...]:
    return tuple(trigger(entry) for entry in written)


def test_schedules_are_read_from_triggers_with_the_defaults_of_the_language():
    definition = Definition(
        kind="loop",
        name="heartbeat",
        steps=(),
        triggers=triggers(
            {"cron": " */30  * * * * "},
            {"event": "infra.check.requested"},
            {
                "every": "1m30s",
                "catch_up": "all",
                "max": 5,
                "jitter": "10s",
                "overlap": "skip",
                "dst": {"gap": "skip", "fold": "twice"},
            },
        ),
    )
    half_hourly, ninety = schedules(definition, "UTC")
    assert half_hourly == Schedule(
        name="heartbeat", kind="cron", text="*/30 * * * *", timezone="UTC", catch_up="latest", limit=100, jitter=0.0,
        overlap="queue", gap="next", fold="once",
    )  # fmt: skip
    assert ninety == Schedule(
        name="heartbeat", kind="every", text="1m30s", period=90.0, catch_up="all", limit=5, jitter=10.0,
        overlap="skip", gap="skip", fold="twice",
    )  # fmt: skip


def test_a_schedule_keeps_its_key_as_long_as_it_keeps_its_slots():
    def keys(*written: dict[str, object]) -> list[str]:
        definition = Definition(kind="loop", name="a", steps=(), triggers=triggers(*written))
        return [schedule.key for schedule in schedules(definition, "UTC")]

    assert keys({"every": "60s"}) == keys({"every": "1m", "overlap": "skip"}) == keys({"every": "1m"}, {"every": "60s"})
    assert keys({"cron": "0 9 * * *"}) == keys({"cron": "0  9 * * *", "jitter": "5m"})
    assert len(keys({"every": "12d"}, {"every": "12d1s"})) == 2
    zones = keys({"cron": "0 9 * * *"}, {"cron": "0 9 * * *", "timezone": "Asia/Tokyo"}, {"cron": "1 9 * * *"})
    assert len(set(zones)) == 3
