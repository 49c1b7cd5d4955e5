"""`agentctl schedule`: when loops are due, and what became of their slots. `agentctl pause` and `unpause`."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
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
    triggers: [{cron: "30 7 * * mon-fri", timezone: Asia/Tokyo, catch_up: all, max: 3, dst: {gap: skip, fold: twice}}]
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
    assert (listed[2]["catch_up"], listed[2]["max"], listed[2]["dst"]) == ("all", 3, {"gap": "skip", "fold": "twice"})


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
    assert shown.splitlines()[0] == "morning  at 07:30, Monday through Friday, in Asia/Tokyo  loops/reports/morning.yaml"
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
    assert "a whole number from 1 to 10,000" in agentctl("schedule", "--next", "10001").err


def test_looking_makes_no_store(agentctl, loops):
    assert agentctl("schedule").code == 0
    assert not loops.store.exists()


# --- the past --------------------------------------------------------------------------------------------------------

HOURLY = """
    loop: hourly
    triggers: [{cron: "0 * * * *", overlap: skip}]
    steps: [{set: {at: "${{ run.scheduled_at }}"}}]
    output: ${{ run.trigger }} of ${{ run.scheduled_at }}
"""


def hours_ago(count: int) -> str:
    """The slot of so many hours ago, as documents have it."""
    slot = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=count - 1)
    return slot.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.fixture
def hourly(project):
    project.write("loops/hourly.yaml", HOURLY)
    return project


def test_a_backfill_makes_a_queued_run_of_every_slot_in_its_range(agentctl, hourly):
    done = agentctl("schedule", "backfill", "hourly", "--from", "3h", "--json")
    assert (done.code, [slot["slot"] for slot in done.json]) == (0, [hours_ago(count) for count in (3, 2, 1)])
    assert {(slot["outcome"], slot["reason"]) for slot in done.json} == {("fired", "filled by hand")}
    assert "queued 3 runs of hourly" in done.err
    assert "`agentctl serve` starts them" in done.err
    runs = agentctl("history", "--json").json
    assert {(run["trigger"], run["status"]) for run in runs} == {("backfill", "queued")}
    first = done.json[0]
    assert agentctl("resume", first["run_id"], "--json").json["output"] == f"backfill of {first['slot']}"


def test_a_slot_that_has_fired_is_not_filled_again(agentctl, hourly):
    first = agentctl("schedule", "backfill", "hourly", "--from", "2h", "--json").json
    again = agentctl("schedule", "backfill", "hourly", "--from", "3h", "--json")
    assert again.json[1:] == first
    assert "queued 1 run of hourly; 2 slots had started one before" in again.err
    assert len(agentctl("history", "--json").json) == 3


def test_a_range_begins_with_its_first_slot_and_leaves_out_its_end(agentctl, hourly):
    planned = agentctl("schedule", "backfill", "hourly", "--from", hours_ago(3), "--to", hours_ago(1), "--plan", "--json").json
    assert [slot["slot"] for slot in planned] == [hours_ago(3), hours_ago(2)]


def test_a_plan_tells_the_slots_and_makes_no_run(agentctl, hourly):
    planned = agentctl("schedule", "backfill", "hourly", "--from", "2h", "--plan")
    assert planned.out.count("nothing recorded") == 2
    assert not hourly.store.exists()


def test_the_last_slots_are_told_with_what_became_of_them(agentctl, hourly):
    filled = agentctl("schedule", "backfill", "hourly", "--from", "3h", "--json").json
    [shown] = agentctl("schedule", "hourly", "--past", "2", "--json").json
    assert [(slot["slot"], slot["run_id"]) for slot in shown["past"]] == [(slot["slot"], slot["run_id"]) for slot in filled[1:]]
    assert list(shown["past"][0]) == ["slot", "local", "outcome", "reason", "run_id", "at"]
    told = agentctl("schedule", "hourly", "--next", "1").out
    assert told.count("(filled by hand)") == 3
    assert f"fired: run {filled[0]['run_id']} (filled by hand)" in told
    assert told.index("fired: run") < told.index("  in ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backfill", "hourly"], "--from"),
        (["backfill", "hourly", "--from", "3h", "--to", "2999-01-01"], "future"),
        (["backfill", "hourly", "--from", "1h", "--to", "2h"], "earlier than --to"),
        (["backfill", "hourly", "--from", "700d"], "more than 1000 slots"),
        (["backfill", "hourly", "--from", "1s"], "no slot in that time"),
        (["hourly", "--from", "3h"], "--from"),
        (["hourly", "heartbeat"], "heartbeat"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused_in_a_sentence(agentctl, hourly, arguments, said):
    refused = agentctl("schedule", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert not hourly.store.exists()


def test_a_loop_that_needs_an_input_cannot_be_backfilled(agentctl, project):
    text = 'loop: needy\ninput: {host: {type: string}}\ntriggers: [{cron: "0 * * * *"}]\nsteps: [{set: {a: 1}}]\n'
    project.write("loops/needy.yaml", text)
    refused = agentctl("schedule", "backfill", "needy", "--from", "3h")
    assert refused.code == 2
    assert "'host'" in refused.err


def test_a_paused_loop_says_so_until_it_is_unpaused(agentctl, hourly):
    paused = agentctl("pause", "hourly", "--json").json
    assert (paused["loop"], paused["paused"]) == ("hourly", True)
    assert agentctl("schedule", "hourly", "--json").json[0]["paused_at"] == paused["paused_at"]
    assert "its slots are skipped" in agentctl("schedule", "hourly").out
    assert agentctl("pause", "hourly", "--json").json == paused
    assert agentctl("unpause", "hourly", "--json").json == {"loop": "hourly", "paused": False, "paused_at": None}
    assert agentctl("schedule", "hourly", "--json").json[0]["paused_at"] is None


def test_unpausing_a_loop_that_nothing_can_trigger_says_so(agentctl, hourly):
    assert agentctl("pause", "hourly").code == 0
    file = hourly.root / "loops/hourly.yaml"
    text = file.read_text()
    file.unlink()
    unpaused = agentctl("unpause", "hourly")
    assert unpaused.code == 0
    assert "nothing triggers it until its file loops/hourly.yaml is back" in unpaused.err
    hourly.write("loops/broken.yaml", "loop: broken\nstpes: []\n")
    assert "until its file can be used: loops/broken.yaml:2:1" in agentctl("unpause", "broken").err
    file.write_text(text)
    assert "hourly is triggered again" in agentctl("unpause", "hourly").err


def test_a_name_that_nothing_has_is_not_paused_and_the_nearest_is_told(agentctl, hourly):
    for command in ("pause", "unpause"):
        unknown = agentctl(command, "hurly")
        assert unknown.code == 4
        assert "hourly" in unknown.err
    assert not hourly.store.exists()


def test_importing_the_command_loads_nothing_heavy():
    code = "import sys, agentctl.cli.commands.schedule; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert loaded
    assert loaded.isdisjoint({"croniter", "ruamel", "jsonschema", "litellm", "jinja2", "asyncio", "zoneinfo"})
