"""Slots in every zone of tzdata around the changes of its clock, against a slow second opinion, and beside two libraries."""

from __future__ import annotations

import importlib.util
import struct
from datetime import UTC, datetime
from importlib import resources
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest
from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentctl.triggers.schedule import Schedule
from agentctl.triggers.slots import next_slots, slots

_spec = importlib.util.spec_from_file_location("wall_clock", Path(__file__).with_name("wall_clock.py"))
assert _spec is not None
assert _spec.loader is not None
wall_clock = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wall_clock)

HOUR, DAY = 3600, 86_400
ZONES = sorted(available_timezones())
POLICIES = [("next", "once"), ("skip", "twice"), ("next", "twice"), ("skip", "once")]
AROUND_CHANGES = [
    wall_clock.expression(text)
    for text in ("* * * * *", "*/30 * * * *", "30 2 * * *", "0,20 0-3 * * *", "0 0 * * *", "15 1-23/2 */2 * 0,6")
]
# Whole days skipped or repeated, half an hour, clocks put back across midnight.
STRANGE = {
    "Pacific/Apia": 2011,
    "Pacific/Fakaofo": 2011,
    "Pacific/Kiritimati": 1994,
    "Pacific/Kwajalein": 1993,
    "Kwajalein": 1969,
    "Australia/Lord_Howe": 2026,
    "America/Havana": 2026,
    "Atlantic/Azores": 2026,
    "Africa/Casablanca": 2026,
    "Antarctica/Troll": 2026,
    "America/St_Johns": 2006,
    "Asia/Pyongyang": 2015,
    "America/Caracas": 2007,
    "Asia/Gaza": 2040,
}


def cron(text: str, zone: str, gap: str = "next", fold: str = "once") -> Schedule:
    return Schedule(name="x", kind="cron", text=text, timezone=zone, gap=gap, fold=fold)


def differences(name: str, change: int, around: int, found: list, policies: list) -> list[str]:
    """What slots and the second opinion say differently from `around` seconds before a change to as much after it."""
    zone = ZoneInfo(name)
    after, until = ((change + shift) // 60 * 60 for shift in (-around, around))
    shown = wall_clock.minutes(zone, after - 2 * around, until)
    return [
        f"{name} {datetime.fromtimestamp(change, UTC)} {expression.text} gap={gap} fold={fold}"
        for expression in found
        for gap, fold in policies
        if list(slots(cron(expression.text, name, gap, fold), after, until))
        != wall_clock.walk(expression, shown, after, gap, fold)
    ]


@pytest.mark.parametrize("year", [2012, 2026, 2039])
def test_every_zone_keeps_to_its_clock_through_every_change_of_a_year(year: int) -> None:
    seen = 0
    wrong = []
    for number, name in enumerate(ZONES):
        for change in wall_clock.changes(ZoneInfo(name), year):
            seen += 1
            wrong += differences(name, change, 2 * HOUR, AROUND_CHANGES, POLICIES[number % 2 :: 2])
    assert wrong == []
    assert seen > 200


@pytest.mark.parametrize(("name", "year"), STRANGE.items())
def test_strange_changes_of_a_clock_are_kept_to_under_every_policy(name: str, year: int) -> None:
    changes = wall_clock.changes(ZoneInfo(name), year)
    assert changes
    assert [line for change in changes for line in differences(name, change, 26 * HOUR, AROUND_CHANGES, POLICIES)] == []


@settings(max_examples=150, deadline=None)
@given(
    wall_clock.expressions(),
    st.sampled_from(ZONES),
    st.integers(30 * 365 * 24, 80 * 365 * 24).map(lambda hours: hours * HOUR),
    st.sampled_from(POLICIES),
)
def test_any_expression_means_in_any_zone_what_its_numbers_say(expression, name, after, policy) -> None:
    shown = wall_clock.minutes(ZoneInfo(name), after - 4 * HOUR, after + 2 * DAY)
    found = list(slots(cron(expression.text, name, *policy), after, after + 2 * DAY))
    assert found == wall_clock.walk(expression, shown, after, *policy)


@settings(max_examples=150, deadline=None)
@given(wall_clock.expressions(), st.sampled_from(ZONES), st.floats(0, 3e9), st.sampled_from(POLICIES))
def test_wherever_one_looks_from_it_is_one_line_of_slots(expression, name, at, policy) -> None:
    schedule = cron(expression.text, name, *policy)
    ahead = next_slots(schedule, at, 5)
    assume(len(ahead) == 5)
    assert all(earlier < later for earlier, later in pairwise([at, *ahead]))
    assert list(slots(schedule, at, ahead[2])) == ahead[:3]
    assert next_slots(schedule, ahead[1], 3) == ahead[2:]


WRITTEN = st.one_of(
    wall_clock.expressions().map(lambda expression: expression.text),
    st.sampled_from(
        ["0 12 L * *", "5 4 * * sun", "0 9 * jan-mar mon-fri", "0 9 * * mon#2", "0 0 * * L5", "0 6 15W * *", "59/15 22-3 * * *",
         "0 0 29 2 *", "H H * * *", "H/10 H(2-4) * * *", "0 0 1 1 ?", "30 4 1,15 * fri", "0 22 * * sat-mon", "0 0 13 * 5#2"]
    ),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(WRITTEN, st.integers(0, 4_000_000_000))
def test_where_clocks_do_not_change_croniter_names_the_same_slots(text: str, after: int) -> None:
    theirs = croniter(text, datetime.fromtimestamp(after, UTC), hash_id=b"x")
    assume(croniter.is_valid(text, hash_id=b"x", strict=True))
    assert next_slots(cron(text, "UTC"), after, 6) == [theirs.get_next(float) for _ in range(6)]


@settings(max_examples=200, deadline=None)
@given(wall_clock.expressions(), st.sampled_from(ZONES), st.integers(1_000_000_000, 3_000_000_000))
def test_in_a_day_without_a_change_croniter_names_the_same_slots_in_every_zone(expression, name, after) -> None:
    zone = ZoneInfo(name)
    offsets = {datetime.fromtimestamp(after + hours * HOUR, zone).utcoffset() for hours in range(-48, 73)}
    assume(len(offsets) == 1)
    theirs = croniter(expression.text, datetime.fromtimestamp(after, zone)).all_next(float)
    within = [slot for slot in islice(theirs, 100) if slot <= after + DAY]
    assert list(islice(slots(cron(expression.text, name), after, after + DAY), 100)) == within


@pytest.mark.parametrize("text", ["30 2 * * *", "0 0,3 * * *", "*/30 * * * *", "10 */2 * * *"])
def test_cronsim_names_the_same_slots_through_every_change(text: str) -> None:
    """It follows Debian's cron: times that are written out keep to `next` and `once`, those with a star to `skip` and `twice`.

    Lord Howe is left out: of the half an hour that comes twice there it says what neither policy does.
    """
    cronsim = pytest.importorskip("cronsim", reason="the second library to compare with is not installed")
    policy = ("skip", "twice") if "*" in text.rsplit(" ", 3)[0] else ("next", "once")
    wrong = []
    for name in sorted(set(ZONES) - {"Australia/Lord_Howe", "Australia/LHI"}):
        zone = ZoneInfo(name)
        for change in wall_clock.changes(zone, 2026):
            after = (change - 6 * HOUR) // 60 * 60
            theirs = islice(cronsim.CronSim(text, datetime.fromtimestamp(after, zone)), 20)
            if next_slots(cron(text, name, *policy), after, 20) != [moment.timestamp() for moment in theirs]:
                wrong.append(f"{name} {datetime.fromtimestamp(change, UTC)}")
    assert wrong == []


def test_a_clock_that_is_seconds_off_utc_keeps_to_the_second() -> None:
    # Liberia was 44 minutes and 30 seconds behind UTC until midnight of 7 January 1972, which came to be 00:44:30.
    midnight = datetime(1972, 1, 7, 0, 44, 30, tzinfo=UTC).timestamp()
    daily = cron("0 0 * * *", "Africa/Monrovia")
    assert next_slots(daily, midnight - DAY - 1, 3) == [midnight - DAY, midnight, midnight + DAY - 44 * 60 - 30]
    assert midnight not in slots(cron("0 0 * * *", "Africa/Monrovia", gap="skip"), midnight - DAY, midnight + 1)


def test_no_zone_changes_its_clock_twice_within_a_day() -> None:
    """`slots` looks a day at a time and takes this for granted."""
    close = []
    for name in ZONES:
        times = [at for (_, before), (at, now) in pairwise(_transitions(name)) if now != before]
        close += [name for earlier, later in pairwise(times) if later - earlier <= DAY]
    assert close == []


def _transitions(name: str) -> list[tuple[int, int]]:
    """(instant, offset from then on) as a zone's file has them: RFC 8536, the block of 64-bit times."""
    data = _file(name)
    first = struct.unpack(">6l", data[20:44])
    begin = 44 + first[3] * 5 + first[4] * 6 + first[5] + first[2] * 8 + first[1] + first[0]
    times, types = struct.unpack(">6l", data[begin + 20 : begin + 44])[3:5]
    begin += 44
    instants = struct.unpack(f">{times}q", data[begin : begin + 8 * times])
    kinds = data[begin + 8 * times : begin + 9 * times]
    begin += 9 * times
    offsets = [struct.unpack(">l", data[begin + 6 * kind : begin + 6 * kind + 4])[0] for kind in range(types)]
    return [(instant, offsets[kind]) for instant, kind in zip(instants, kinds, strict=True)]


def _file(name: str) -> bytes:
    for folder in TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()


def test_the_second_opinion_sees_a_gap_and_a_fold() -> None:
    zone = ZoneInfo("Europe/Berlin")
    spring, autumn = (int(datetime(2026, *day, 1, tzinfo=UTC).timestamp()) for day in ((3, 29), (10, 25)))
    assert wall_clock.changes(zone, 2026) == [spring, autumn]
    half_past_two = wall_clock.expression("30 2 * * *")
    for change, gap, fold, expected in [
        (spring, "next", "once", [0]),
        (spring, "skip", "once", []),
        (autumn, "next", "once", [-1800]),
        (autumn, "next", "twice", [-1800, 1800]),
    ]:
        shown = wall_clock.minutes(zone, change - 3 * HOUR, change + 3 * HOUR)
        found = wall_clock.walk(half_past_two, shown, change - 2 * HOUR, gap, fold)
        assert [slot - change for slot in found] == expected
