"""`agentctl schedule`: when loops are due."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

HEARTBEAT = """
    loop: heartbeat
    triggers:
      - cron: "*/30 * * * *"
      - event: checked
      - every: 90s
        jitter: 10s
        overlap: skip
    steps: [{set: {a: 1}}]
"""
MORNING = """
    loop: morning
    triggers: [{cron: "30 7 * * mon-fri", timezone: Asia/Tokyo, catch_up: all, max: 3, dst: {fold: twice}}]
    steps: [{set: {a: 1}}]
"""
QUIET = "loop: quiet\nsteps: [{repeat: {until: 'true', every: 1s}, steps: [{set: {a: 1}}]}]\n"
KEYS = [
    "loop", "file", "trigger", "schedule", "timezone", "words", "catch_up", "max", "jitter", "overlap", "dst",
    "paused_at", "past", "next",
]  # fmt: skip


@pytest.fixture
def loops(project):
    project.write("loops/heartbeat.yaml", HEARTBEAT)
    project.write("loops/reports/morning.yaml", MORNING)
    project.write("loops/quiet.yaml", QUIET)
    return project


def test_every_schedule_of_the_project_is_listed_with_its_next_slots(agentctl, loops):
    listed = agentctl("schedule", "--json").json
    assert [(one["loop"], one["trigger"], one["schedule"]) for one in listed] == [
        ("heartbeat", "cron", "*/30 * * * *"),
        ("heartbeat", "every", "90s"),
        ("morning", "cron", "30 7 * * mon-fri"),
    ]
    assert all(list(one) == KEYS and len(one["next"]) == 10 for one in listed)
    half_hourly = [datetime.fromisoformat(slot["slot"]) for slot in listed[0]["next"]]
    assert all(slot.minute in (0, 30) and slot.second == 0 for slot in half_hourly)
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(half_hourly)} == {1800.0}
    assert 0 < (half_hourly[0] - datetime.now(UTC)).total_seconds() <= 1800
    assert listed[2]["file"] == "loops/reports/morning.yaml"
    assert (listed[2]["catch_up"], listed[2]["max"], listed[2]["dst"]) == ("all", 3, {"gap": "next", "fold": "twice"})


def test_a_slot_is_told_in_utc_and_by_the_clock_of_its_schedule(agentctl, loops):
    (morning,) = agentctl("schedule", "morning", "--next", "2", "--json").json
    assert len(morning["next"]) == 2
    for slot in morning["next"]:
        local = datetime.fromisoformat(slot["local"])
        assert (local.hour, local.minute, local.weekday() < 5) == (7, 30, True)
        assert local.utcoffset() == local.astimezone(ZoneInfo("Asia/Tokyo")).utcoffset()
        assert local == datetime.fromisoformat(slot["slot"]) == datetime.fromisoformat(slot["starts_at"])


def test_jitter_shows_in_the_start_and_is_the_same_at_every_look(agentctl, loops):
    first, again = (agentctl("schedule", "heartbeat", "--json").json[1]["next"] for _ in range(2))
    starts = {slot["slot"]: slot["starts_at"] for slot in first}
    delays = [(datetime.fromisoformat(begins) - datetime.fromisoformat(slot)).total_seconds() for slot, begins in starts.items()]
    assert all(0 <= delay <= 10 for delay in delays)
    assert len(set(delays)) > 5
    assert all(starts.get(slot["slot"], slot["starts_at"]) == slot["starts_at"] for slot in again)


def test_people_see_words_and_the_clocks_that_differ(agentctl, loops):
    shown = agentctl("schedule", "morning", "--next", "1", env={"TZ": "Europe/Berlin"}).out
    assert shown.splitlines()[0] == "morning  at 07:30 on Monday to Friday, in Asia/Tokyo  loops/reports/morning.yaml"
    assert re.search(r"\d\d:30:00 CES?T +\w{3} [\d-]+ 22:30:00 UTC +\w{3} [\d-]+ 07:30:00 JST +in ", shown)
    utc = agentctl("schedule", "heartbeat", "--next", "1", env={"TZ": "UTC"}).out
    assert "every 30 minutes, in UTC" in utc
    assert utc.count(" UTC  in ") == 2
    assert "leaves out a slot while a run is still going (overlap: skip)" in utc


def test_a_file_may_be_named_instead_of_a_loop(agentctl, loops):
    assert [one["loop"] for one in agentctl("schedule", "loops/reports/morning.yaml", "--json").json] == ["morning"]


def test_a_loop_without_a_schedule_and_a_project_without_loops_say_so(agentctl, project):
    nothing = agentctl("schedule")
    assert (nothing.code, nothing.out) == (0, "")
    assert "No loop of this project has a schedule" in nothing.err
    project.write("loops/quiet.yaml", QUIET)
    assert "quiet has no schedule" in agentctl("schedule", "quiet").err
    assert agentctl("schedule", "quiet", "--json").json == []


def test_a_broken_definition_is_named_and_hides_no_other(agentctl, loops):
    loops.write("loops/broken.yaml", 'loop: broken\ntriggers: [{cron: "99 * * * *"}]\nsteps: [{set: {a: 1}}]\n')
    result = agentctl("schedule", "--json")
    assert result.code == 2
    assert {one["loop"] for one in result.json} == {"heartbeat", "morning"}
    assert "loops/broken.yaml has problems and is left out" in result.err
    assert agentctl("schedule", "broken").code == 2


def test_an_unknown_loop_and_a_wrong_number_are_refused(agentctl, loops):
    unknown = agentctl("schedule", "mornin")
    assert unknown.code == 4
    assert "morning" in unknown.err
    assert agentctl("schedule", "--next", "0").code == 2


def test_looking_makes_no_store(agentctl, loops):
    assert agentctl("schedule").code == 0
    assert not loops.store.exists()


def test_importing_the_command_loads_nothing_heavy():
    code = "import sys, agentctl.cli.schedule; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert loaded
    assert loaded.isdisjoint({"croniter", "ruamel", "jsonschema", "litellm", "jinja2", "asyncio", "zoneinfo"})
