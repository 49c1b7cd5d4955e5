"""The timekeeper on a real store, by a clock that the test sets: which slots become runs, and what is said of the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agentctl.expressions.parse import parse_expression
from agentctl.model import Flow, Trigger
from agentctl.ports import Call, Deployment, HistoryFilter, RunRow, SlotRow, StoredDefinition
from agentctl.service.parts import scheduler
from agentctl.service.parts.scheduler import Scheduler
from agentctl.service.problems import Problems
from agentctl.store.ledger import Ledger, open_store
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import inputs, set_step, stored, task
from agentctl.testing.fixtures import World

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
MONDAY = datetime(2026, 6, 1, 12, tzinfo=ZoneInfo("UTC")).timestamp()


def loop(name: str = "heartbeat", *, every: str = "", cron: str = "", **settings: object) -> StoredDefinition:
    trigger = Trigger("every", every, settings) if every else Trigger("cron", cron, settings)
    return stored(name, set_step("a", b=1), triggers=(trigger,))


class Host:
    """A machine with a store and a clock, and a timekeeper while it serves. `deployed`: what its deployer says."""

    def __init__(self, path: Path, now: float = MONDAY) -> None:
        self.store: Ledger = open_store(path)
        self.store.serve()
        self.clock = VirtualClock(now)
        self.on_change: list[Callable[[], None]] = []
        self.deployed: dict[str, StoredDefinition] = {}
        self.is_paused = False
        self.looks = 0
        self.problems = Problems()
        self.keeper = self._keeper()

    def definitions(self) -> Mapping[str, StoredDefinition]:
        return {} if self.is_paused else self.deployed

    def paused(self) -> Mapping[str, StoredDefinition]:
        return self.deployed if self.is_paused else {}

    def collect(self) -> None:
        self.looks += 1

    def _keeper(self) -> Scheduler:
        return Scheduler(self.store, self, self.clock, self, {}, self.problems)

    async def deploy(self, *definitions: StoredDefinition) -> None:
        self.deployed = {one.definition.name: one for one in definitions}
        for one in definitions:
            await self.store.register(one)
        found = [
            Deployment(name=name, kind="loop", file="", version=one.version, deployed_at=0.0)
            for name, one in self.deployed.items()
        ]
        await self.store.deploy(found, {})
        for told in self.on_change:
            told()

    async def start(self, *definitions: StoredDefinition) -> None:
        """`serve` comes up."""
        await self.deploy(*definitions)
        self.keeper = self._keeper()
        await self.keeper.begin()

    async def serve(self, seconds: float) -> None:
        """What `Scheduler.run` does for so long, without waiting for it."""
        until = self.clock.now() + seconds
        while (again := await self.keeper.tick()) <= until:
            self.clock.set(max(again, self.clock.now()))
        self.clock.set(until)

    def sleep(self, seconds: float) -> None:
        """Nobody looks at the clock meanwhile."""
        self.clock.set(self.clock.now() + seconds)

    def rows(self, name: str = "heartbeat") -> list[SlotRow]:
        """Oldest first."""
        return self.store.slots(name, limit=10**6)[::-1]

    def outcomes(self) -> dict[str, int]:
        return dict(Counter(row.outcome for row in self.rows()))

    def fired(self) -> list[float]:
        """The slots for which there are runs, in the order in which the runs were made."""
        runs = [self.store.run(row.run_id) for row in self.rows() if row.run_id is not None]
        assert len(runs) == len(self.store.history(HistoryFilter(limit=10**6)))
        created = [next(iter(self.store.journal(run.id))) for run in runs if run is not None]
        return [one.scheduled_at for one in created]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "store" / "agentctl.db")
    yield made
    made.store.close()


async def test_an_every_loop_fires_at_each_of_its_slots_and_nowhere_else(host: Host) -> None:
    await host.start(loop(every="30s"))
    await host.serve(2 * MINUTE)
    assert host.fired() == [MONDAY + 30, MONDAY + 60, MONDAY + 90, MONDAY + 120]
    assert [(row.outcome, row.reason, row.at) for row in host.rows()] == [("fired", "", slot) for slot in host.fired()]
    run = host.store.find("last")
    assert (run.name, run.trigger, run.status, run.created_at) == ("heartbeat", "every", "queued", MONDAY + 120)
    assert host.looks == 4


async def test_it_runs_by_itself_and_sleeps_until_the_next_start(host: Host) -> None:
    await host.start(loop(every="1m"))
    running = asyncio.create_task(host.keeper.run())
    while len(host.rows()) < 3:
        await asyncio.sleep(0.001)
    running.cancel()
    assert host.fired()[:3] == [MONDAY + MINUTE, MONDAY + 2 * MINUTE, MONDAY + 3 * MINUTE]


async def test_it_notices_a_clock_that_was_put_back_while_it_slept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "POLL_INTERVAL", 0.05)
    host.clock.idle = lambda: False  # time stands still, but for what the test does
    await host.start(loop(every="1m"))
    running = asyncio.create_task(host.keeper.run())
    await asyncio.sleep(0.01)
    host.clock.set(MONDAY - DAY)
    await asyncio.sleep(0.2)
    host.clock.set(MONDAY - DAY + MINUTE)
    while not host.rows():
        await asyncio.sleep(0.001)
    running.cancel()
    assert host.fired() == [MONDAY - DAY + MINUTE]


# --- clocks that change ----------------------------------------------------------------------------------------------

CHANGES = [  # zone, cron, its dst, first day, what the clocks show when it fires in three days
    ("Europe/Berlin", "30 2 * * *", {}, "2026-03-28", ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]),
    ("Europe/Berlin", "30 2 * * *", {"gap": "skip"}, "2026-03-28", ["28 02:30 CET", "30 02:30 CEST"]),
    ("Europe/Berlin", "30 2 * * *", {}, "2026-10-24", ["24 02:30 CEST", "25 02:30 CEST", "26 02:30 CET"]),
    ("Europe/Berlin", "30 2 * * *", {"fold": "twice"}, "2026-10-24",
     ["24 02:30 CEST", "25 02:30 CEST", "25 02:30 CET", "26 02:30 CET"]),
    ("America/New_York", "15 2 * * *", {}, "2026-03-07", ["07 02:15 EST", "08 03:00 EDT", "09 02:15 EDT"]),
    ("America/New_York", "15 1 * * *", {}, "2026-10-31", ["31 01:15 EDT", "01 01:15 EDT", "02 01:15 EST"]),
    ("America/New_York", "15 1 * * *", {"fold": "twice"}, "2026-10-31",
     ["31 01:15 EDT", "01 01:15 EDT", "01 01:15 EST", "02 01:15 EST"]),
    ("Australia/Lord_Howe", "15 2 * * *", {}, "2026-10-03", ["03 02:15 +1030", "04 02:30 +11", "05 02:15 +11"]),
    ("Australia/Lord_Howe", "45 1 * * *", {}, "2026-04-04", ["04 01:45 +11", "05 01:45 +11", "06 01:45 +1030"]),
    ("America/Havana", "0 0 * * *", {}, "2026-03-07",
     ["07 00:00 CST", "08 01:00 CDT", "09 00:00 CDT", "10 00:00 CDT"]),
    ("America/Havana", "30 0 * * *", {}, "2026-10-31", ["31 00:30 CDT", "01 00:30 CDT", "02 00:30 CST"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "cron", "dst", "first_day", "expected"), CHANGES)
async def test_a_loop_keeps_to_the_clock_of_its_zone_when_that_is_put_forward_or_back(
    tmp_path: Path, zone: str, cron: str, dst: dict[str, str], first_day: str, expected: list[str]
) -> None:
    midnight = datetime.fromisoformat(first_day).replace(tzinfo=ZoneInfo(zone)).timestamp()
    host = Host(tmp_path / "agentctl.db", midnight - MINUTE)
    await host.start(loop(cron=cron, timezone=zone, dst=dst))
    await host.serve(3 * DAY)
    assert [f"{datetime.fromtimestamp(slot, ZoneInfo(zone)):%d %H:%M %Z}" for slot in host.fired()] == expected
    assert host.outcomes() == {"fired": len(expected)}
    host.store.close()


@pytest.mark.parametrize("trigger", [{"cron": "*/10 * * * *"}, {"every": "10m"}], ids=["cron", "every"])
async def test_a_clock_that_is_put_back_by_an_hour_fires_nothing_twice_and_goes_on_when_it_is_where_it_was(
    host: Host, trigger: dict[str, str]
) -> None:
    await host.start(loop(**trigger))
    await host.serve(HOUR)
    host.clock.set(MONDAY)
    await host.serve(HOUR + 30 * MINUTE)
    assert host.fired() == [MONDAY + number * 10 * MINUTE for number in range(1, 10)]
    assert host.outcomes() == {"fired": 9}


async def test_a_clock_that_goes_back_and_forth_fires_every_slot_once(host: Host) -> None:
    await host.start(loop(every="10m", catch_up="all"))
    for jump in (-7, 31, -64, 12, 65, -3, -120, 118):
        await host.serve(7 * MINUTE)
        host.clock.set(host.clock.now() + jump * MINUTE)
    await host.serve(4 * HOUR)
    first, last = min(host.fired()), max(host.fired())
    assert sorted(host.fired()) == [first + number * 10 * MINUTE for number in range(round((last - first) / 600) + 1)]


async def test_after_an_hour_by_a_clock_that_was_a_month_ahead_the_days_of_that_month_fire_in_their_turn(host: Host) -> None:
    await host.start(loop(cron="0 18 * * *"))
    host.clock.set(MONDAY + 30 * DAY)
    await host.serve(HOUR)
    assert host.outcomes() == {"missed": 29, "fired": 1}
    host.clock.set(MONDAY + HOUR)
    await host.serve(3 * DAY)
    assert sorted(host.fired())[:3] == [MONDAY + 6 * HOUR + number * DAY for number in range(3)]
    assert host.outcomes() == {"missed": 26, "fired": 4}


async def test_a_restart_under_a_clock_that_is_right_again_does_not_wait_for_the_wrong_one(host: Host) -> None:
    host.clock.set(MONDAY + 365 * DAY)
    await host.start(loop(every="1h"))
    await host.serve(HOUR)
    host.clock.set(MONDAY)
    await host.start(loop(every="1h"))
    await host.serve(2 * HOUR)
    assert sorted(host.fired())[:2] == [MONDAY + HOUR, MONDAY + 2 * HOUR]


# --- nobody served ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["asleep", "down"])
@pytest.mark.parametrize(
    ("settings", "made_up"), [({"catch_up": "none"}, 0), ({}, 1), ({"catch_up": "all"}, 72), ({"catch_up": "all", "max": 5}, 5)]
)
async def test_three_days_in_which_nobody_served_are_made_up_for_as_the_loop_says(
    host: Host, away: str, settings: dict[str, object], made_up: int
) -> None:
    hourly = loop(cron="30 * * * *", **settings)
    await host.start(hourly)
    await host.serve(HOUR)
    host.sleep(3 * DAY)
    if away == "down":
        await host.start(hourly)
    await host.serve(HOUR)
    assert host.outcomes() == {key: value for key, value in {"fired": 2 + made_up, "missed": 72 - made_up}.items() if value}
    assert host.fired()[1:-1] == [MONDAY + 30 * MINUTE + number * HOUR for number in range(73 - made_up, 73)]
    on_time, *between, last = host.rows()
    assert (on_time.reason, last.reason) == ("", "")
    policy = settings.get("catch_up", "latest")
    reasons = {row.outcome: row.reason for row in between}
    assert reasons.get("fired", "").startswith("" if not made_up else f"made up for by catch_up: {policy}")
    assert "missed" not in reasons or "nobody served at its time" in reasons["missed"]


async def test_a_moment_of_hesitation_is_no_absence(host: Host) -> None:
    await host.start(loop(every="5s", catch_up="none"))
    await host.serve(10)
    host.sleep(16)
    await host.serve(4)
    assert host.outcomes() == {"fired": 6}


async def test_a_quarter_of_a_million_missed_slots_are_settled_in_small_commits_beside_other_loops(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    fire = host.store.fire
    monkeypatch.setattr(host.store, "fire", lambda slots, at: commits.append(len(slots)) or fire(slots, at))
    await host.start(loop("restless", every="1s"), loop("calm", cron="0 18 * * *"))
    host.sleep(3 * DAY + 0.5)
    assert await host.keeper.tick() <= host.clock.now()
    assert [row.outcome for row in host.rows("calm")] == ["missed", "missed", "fired"]
    await host.serve(0)
    assert dict(Counter(row.outcome for row in host.rows("restless"))) == {"missed": 3 * DAY - 1, "fired": 1}
    assert max(commits) <= 1000
    assert host.rows("restless")[-1].outcome == "fired"


async def test_years_of_missed_slots_are_summed_up_and_the_last_are_told_one_by_one(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "MOST", 1000)
    await host.start(loop(every="1s"))
    host.clock.set(0.0)  # a host without a battery
    await host.keeper.tick()
    host.clock.set(MONDAY + 0.5)
    await host.serve(5)
    rows = host.rows()
    assert [row.slot for row in rows] == [MONDAY - 999 + number for number in range(1005)]
    assert [row.outcome for row in rows] == ["missed"] * 999 + ["fired"] * 6
    assert rows[0].reason.endswith("since 1970-01-01T00:00:00.000Z, which are too many to be recorded one by one")
    assert "too many" not in rows[1].reason


async def test_a_leap_day_is_made_up_for_however_long_ago_it_was(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "MOST", 100)
    leap = datetime(2028, 2, 29, tzinfo=ZoneInfo("UTC")).timestamp()
    await host.start(loop(cron="* * 29 2 *"))
    host.clock.set(leap + 500 * DAY)
    await host.serve(5)
    assert host.outcomes() == {"missed": 1439, "fired": 1}
    assert host.fired() == [leap + DAY - MINUTE]


# --- what is deployed ------------------------------------------------------------------------------------------------


async def test_an_edited_loop_goes_on_with_the_schedules_it_keeps_and_begins_those_that_are_new(host: Host) -> None:
    await host.start(loop(cron="0 * * * *"))
    await host.serve(HOUR)
    host.sleep(2 * HOUR)
    both = (Trigger("cron", "0 * * * *", {"catch_up": "all"}), Trigger("every", "20m"))
    edited = stored("heartbeat", set_step("a", b=2), triggers=both)
    await host.deploy(edited)
    await host.serve(30 * MINUTE)
    found = {(row.schedule, row.slot): row.outcome for row in host.rows()}
    hourly, often = "cron 0 * * * * UTC", "every 1200s"
    assert found == {
        (hourly, MONDAY + HOUR): "fired",
        (hourly, MONDAY + 2 * HOUR): "fired",
        (hourly, MONDAY + 3 * HOUR): "fired",
        (often, MONDAY + 3 * HOUR + 20 * MINUTE): "fired",
    }
    assert host.store.find("last").version == edited.version


async def test_a_loop_that_was_away_begins_anew_and_has_missed_nothing(host: Host) -> None:
    await host.start(loop(every="1h", catch_up="all"))
    await host.serve(HOUR)
    await host.deploy()
    await host.serve(5 * HOUR)
    await host.deploy(loop(every="1h", catch_up="all"))
    await host.serve(HOUR)
    assert [row.slot for row in host.rows()] == host.fired() == [MONDAY + HOUR, MONDAY + 7 * HOUR]


async def test_a_loop_that_needs_an_input_is_skipped_and_the_reason_names_it(host: Host) -> None:
    needy = stored("heartbeat", set_step("a", b=1), triggers=(Trigger("every", "1h"),), input=inputs("host"))
    await host.start(needy)
    await host.serve(HOUR)
    [row] = host.rows()
    assert (row.outcome, row.run_id) == ("skipped", None)
    assert "needs the input 'host'" in row.reason


async def test_jitter_delays_the_run_and_not_the_slot(host: Host) -> None:
    await host.start(loop(every="1h", jitter="10m"))
    await host.serve(HOUR)
    assert host.rows() == []
    await host.serve(10 * MINUTE)
    [row] = host.rows()
    assert row.slot == MONDAY + HOUR < row.at < MONDAY + HOUR + 10 * MINUTE


# --- pauses ----------------------------------------------------------------------------------------------------------


async def test_the_slots_in_a_pause_are_skipped_and_the_loop_goes_on_after_it(host: Host) -> None:
    await host.start(loop(every="10m", catch_up="all"))
    await host.serve(10 * MINUTE)
    await host.store.pause("heartbeat", host.clock.now() + MINUTE)
    await host.serve(25 * MINUTE)
    await host.store.unpause("heartbeat", host.clock.now())
    await host.serve(10 * MINUTE)
    assert [(row.slot - MONDAY, row.outcome, row.reason) for row in host.rows()] == [
        (600, "fired", ""),
        (1200, "skipped", "the loop was paused"),
        (1800, "skipped", "the loop was paused"),
        (2400, "fired", ""),
    ]


@pytest.mark.parametrize("is_over", [True, False], ids=["over", "going on"])
async def test_slots_of_a_pause_are_never_missed_though_nobody_served_during_it(host: Host, is_over: bool) -> None:
    hourly = loop(every="1h", catch_up="all")
    await host.start(hourly)
    await host.store.pause("heartbeat", MONDAY + 2.5 * HOUR)
    if is_over:
        await host.store.unpause("heartbeat", MONDAY + 5.5 * HOUR)
    host.sleep(7 * HOUR + MINUTE)
    await host.start(hourly)
    await host.serve(MINUTE)
    before = "nobody served at its time, and the loop was paused before it could be made up for"
    paused = [("skipped", "the loop was paused")]
    made_up = [("fired", "made up for by catch_up: all")]
    expected = [("missed", before)] * 2 + (paused * 3 + made_up * 2 if is_over else paused * 5)
    assert [(row.outcome, row.reason) for row in host.rows()] == expected


async def test_a_run_whose_jitter_had_not_passed_when_the_loop_was_paused_does_not_start(host: Host) -> None:
    await host.start(loop(every="1h", jitter="50m"))
    await host.serve(HOUR)
    await host.store.pause("heartbeat", host.clock.now() + 1)
    await host.serve(50 * MINUTE)
    assert [(row.outcome, row.reason) for row in host.rows()] == [("skipped", "the loop was paused before it could start")]


async def test_a_loop_that_is_paused_before_the_service_comes_up_is_kept_to_all_the_same(host: Host) -> None:
    await host.start(loop(every="1h"))
    await host.store.pause("heartbeat", MONDAY)
    host.is_paused = True
    await host.start(loop(every="1h"))
    await host.serve(HOUR)
    assert host.outcomes() == {"skipped": 1}


# --- a run that is still going ---------------------------------------------------------------------------------------


class Busy:
    """A host whose loop works for as long as the test wants: `done` lets its runs end."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.host = Host(root / ".agentctl" / "agentctl.db")
        self.engine = self.world.engine(self.host.clock)
        self.done = asyncio.Event()
        self.world.shell.behave["work"] = self._work
        self.driving: list[asyncio.Task[RunRow]] = []

    async def _work(self, call: Call) -> str:
        await self.done.wait()
        return "done"

    async def start(self, overlap: str) -> None:
        await self.host.start(stored("heartbeat", task("work"), triggers=(Trigger("every", "1h", {"overlap": overlap}),)))

    async def drive(self, run_id: str) -> asyncio.Task[RunRow]:
        """Returns when the work has begun."""
        begun = len(self.world.shell.calls)
        self.driving.append(asyncio.create_task(self.engine.drive(run_id)))
        while len(self.world.shell.calls) == begun:
            await asyncio.sleep(0.001)
        return self.driving[-1]

    def close(self) -> None:
        self.world.close()
        self.host.store.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    made = Busy(tmp_path)
    yield made
    made.close()


async def test_overlap_queue_lets_the_next_run_wait_for_the_one_that_is_going(busy: Busy) -> None:
    await busy.start("queue")
    await busy.host.serve(HOUR)
    first = await busy.drive(busy.host.rows()[0].run_id)
    await busy.host.serve(HOUR)
    second = busy.host.rows()[1].run_id
    assert busy.host.outcomes() == {"fired": 2}
    assert await busy.engine.store.acquire([second]) == []
    assert f"run {busy.host.rows()[0].run_id}" in busy.engine.store.queue_position(second).reason
    busy.done.set()
    assert (await first).status == "succeeded"
    assert (await busy.engine.drive(second)).status == "succeeded"


async def test_overlap_skip_starts_no_other_while_one_is_going_and_says_which(busy: Busy) -> None:
    await busy.start("skip")
    await busy.host.serve(HOUR)
    run_id = busy.host.rows()[0].run_id
    first = await busy.drive(run_id)
    await busy.host.serve(HOUR)
    busy.done.set()
    await first
    await busy.host.serve(HOUR)
    assert busy.host.keeper.settled == {"fired": 2, "overlapped": 1}
    said = f"run {run_id} was still going, and overlap: skip starts no other"
    assert [(row.outcome, row.reason) for row in busy.host.rows()] == [("fired", ""), ("overlapped", said), ("fired", "")]


async def test_overlap_cancel_running_ends_the_one_that_is_going_for_the_newest(busy: Busy) -> None:
    await busy.start("cancel_running")
    await busy.host.serve(HOUR)
    first = await busy.drive(busy.host.rows()[0].run_id)
    await busy.host.serve(HOUR)
    newest = busy.host.rows()[1].run_id
    ended = await first
    assert (ended.status, newest in ended.error.message) == ("cancelled", True)
    busy.done.set()
    assert (await busy.engine.drive(newest)).status == "succeeded"


async def test_a_run_that_serve_drives_itself_is_told_to_end_for_the_newest(busy: Busy) -> None:
    begun = asyncio.Semaphore(0)

    async def work(call: Call) -> str:
        begun.release()
        await busy.done.wait()
        return "done"

    busy.world.shell.behave["work"] = work
    await busy.start("cancel_running")
    engine = busy.world.serving()
    busy.host.keeper = Scheduler(engine.store, engine, busy.host.clock, busy.host, {}, Problems())
    await busy.host.keeper.begin()
    await engine.begin()
    driving = asyncio.create_task(engine.run())
    for _ in range(2):
        await busy.host.serve(HOUR)
        await asyncio.wait_for(begun.acquire(), 5)
    assert [row.status for row in engine.store.history(HistoryFilter())] == ["running", "cancelled"]
    driving.cancel()
    await engine.stop()


async def test_the_schedules_of_one_loop_do_not_wait_for_each_other(busy: Busy) -> None:
    both = (Trigger("every", "1h", {"overlap": "skip"}), Trigger("cron", "30 * * * *", {"overlap": "skip"}))
    await busy.host.start(stored("heartbeat", task("work"), triggers=both))
    await busy.host.serve(HOUR)
    assert busy.host.outcomes() == {"fired": 2}


async def test_a_schedule_that_fails_is_a_problem_of_its_own(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: the others fire, and it is made up for once it works again."""
    real = scheduler.slot_of

    def fails_for_bad(stored: StoredDefinition, *arguments: Any, **named: Any) -> Any:
        if stored.definition.name == "bad":
            raise OverflowError("too large")
        return real(stored, *arguments, **named)

    monkeypatch.setattr(scheduler, "slot_of", fails_for_bad)
    await host.start(loop("bad", every="1m"), loop("good", every="1m"))
    await host.serve(3 * MINUTE)
    assert len(host.rows("good")) == 3
    assert host.problems.present == {("scheduler", "the schedule of bad"): "too large"}
    monkeypatch.setattr(scheduler, "slot_of", real)
    await host.serve(MINUTE)
    assert host.problems.present == {}
    assert len(host.rows("bad")) == 4


async def test_a_priority_without_bounds_fails_the_run_that_has_it(host: Host) -> None:
    steep = parse_expression("10 ** 400")
    await host.start(
        stored("steep", set_step("a", b=1), triggers=(Trigger("every", "1m", {}),), flow=Flow(priority=steep)),
        loop("good", every="1m"),
    )
    await host.serve(MINUTE)
    [run] = host.store.history(HistoryFilter(name="steep"))
    created = next(iter(host.store.journal(run.id)))
    assert created.problem.type == "expression"
    assert "priority has to be a number from" in created.problem.message
    assert len(host.rows("good")) == 1
