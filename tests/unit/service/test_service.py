"""The life of the service: parts begin in their order, are kept alive, and stop in the reverse order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import StoreCorrupt, StoreFull, UsageError
from agentctl.ports import Call
from agentctl.service import serve
from agentctl.service.serve import Service
from agentctl.service.systemd.notify import Notifier
from agentctl.testing.definitions import stored, task
from agentctl.testing.fixtures import World


class Told:
    """A part that writes down what becomes of it. `does`: what `run` does each time, the last of them for ever."""

    def __init__(self, name: str, diary: list[str], *does: Any) -> None:
        self.name = name
        self.diary = diary
        self.does = list(does)
        self.looked = 0

    async def begin(self) -> None:
        self.diary.append(f"{self.name} begins")

    async def run(self) -> None:
        try:
            if self.does:
                what = self.does.pop(0)
                if isinstance(what, Exception):
                    raise what
            else:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.diary.append(f"{self.name} stops")
            raise

    def look(self) -> None:
        self.looked += 1

    async def reload(self) -> None:
        self.diary.append(f"{self.name} reloads")


class Quick:
    """A clock that nobody waits for. `longest`: seconds that somebody would have slept at a time."""

    longest = 0.0

    def now(self) -> float:
        return 1_800_000_000.0

    async def sleep_until(self, due: float) -> None:
        self.longest = max(self.longest, due - self.now())
        await asyncio.sleep(0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def service(world: World, *parts: Any, clock: Any = None, on_ready: Any = lambda: None) -> Service:
    engine = world.serving()
    return Service(engine, [engine, *parts], clock or engine.clock, Notifier({}), grace=5.0, on_ready=on_ready)


def signal_us(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def test_parts_begin_in_order_before_it_is_ready_and_stop_in_reverse(world: World) -> None:
    diary: list[str] = []

    def ready() -> None:
        diary.append("ready")
        asyncio.get_running_loop().call_later(0.05, signal_us)

    await service(world, Told("a", diary), Told("b", diary), on_ready=ready).run()
    assert diary == ["a begins", "b begins", "ready", "b stops", "a stops"]


async def test_no_step_starts_while_a_part_takes_its_time_to_stop(world: World) -> None:
    signalled, ended = asyncio.Event(), asyncio.Event()

    class Slow(Told):
        async def run(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                signalled.set()
                await ended.wait()
                await asyncio.sleep(0.1)

    async def work(call: Call) -> str:
        signal_us()
        await signalled.wait()
        ended.set()
        return "done"

    world.shell.behave["first"] = work
    made = service(world, Slow("slow", []))
    run_id = await world.engine().create(stored("x", task("first"), task("second")), {})
    await made.run()
    assert world.shell.paths == ["first"]
    assert world.journal(run_id).count("StepSucceeded") == 1


async def test_a_part_that_cannot_begin_keeps_the_service_from_being_ready(world: World) -> None:
    class Unable(Told):
        async def begin(self) -> None:
            raise UsageError("the port is in use")

    diary: list[str] = []
    with pytest.raises(UsageError, match="in use"):
        await service(world, Told("a", diary), Unable("b", diary), on_ready=lambda: diary.append("ready")).run()
    assert diary == ["a begins", "a stops"]


async def test_ready_does_not_wait_for_a_part_with_a_bug(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(Told):
        async def begin(self) -> None:
            diary.append("tries")
            if diary.count("tries") < 3:
                raise KeyError("a bug")

    diary: list[str] = []
    made = service(world, Buggy("b", diary), Told("c", diary), clock=Quick(), on_ready=lambda: diary.append("ready"))
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(10):
        while diary.count("tries") < 3 or "ready" not in diary:
            await asyncio.sleep(0.001)
    signal_us()
    await running
    assert {"c begins", "ready"} <= set(diary)
    assert "the b could not begin" in caplog.text


async def test_a_signal_before_it_is_ready_ends_it(world: World) -> None:
    class Slow(Told):
        async def begin(self) -> None:
            signal_us()
            await asyncio.Event().wait()

    diary: list[str] = []
    await service(world, Slow("a", diary), on_ready=lambda: diary.append("ready")).run()
    assert diary == []


async def test_a_part_that_fails_begins_again_and_the_others_go_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    diary: list[str] = []
    other = Told("other", diary)
    failing = Told("failing", diary, KeyError("a bug"), None)  # the second time it ends by itself, which is a bug as well
    made = service(world, failing, other, clock=Quick())
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(10):
        while diary.count("failing begins") < 3:
            await asyncio.sleep(0.001)
    assert made.unready == []
    signal_us()
    await running
    assert diary.count("other begins") == 1
    assert [record.levelno for record in caplog.records if "failing failed" in record.message] == [logging.ERROR] * 2


async def test_a_part_that_keeps_failing_ends_the_service_rather_than_let_it_seem_well(world: World) -> None:
    failing = Told("failing", [], *[KeyError("a bug") for _ in range(serve._MOST_FAILURES)])
    with pytest.raises(KeyError):
        await service(world, failing, clock=Quick()).run()


async def test_a_full_disk_fails_no_part_for_good_nor_for_long(world: World) -> None:
    diary: list[str] = []
    clock = Quick()
    failing = Told("failing", diary, *[StoreFull("no room") for _ in range(3 * serve._MOST_FAILURES)])
    running = asyncio.create_task(service(world, failing, clock=clock).run())
    async with asyncio.timeout(10):
        while failing.does:
            await asyncio.sleep(0.001)
    assert not running.done()
    assert clock.longest == 10.0  # as docs/serve.md has it
    signal_us()
    await running


async def test_a_damaged_store_ends_the_service_with_its_error(world: World) -> None:
    with pytest.raises(StoreCorrupt):
        await service(world, Told("failing", [], StoreCorrupt("damaged")), clock=Quick()).run()


async def test_news_reach_every_part(world: World) -> None:
    part = Told("a", [])
    running = asyncio.create_task(service(world, part).run())
    async with asyncio.timeout(10):
        before = part.looked
        await world.engine().create(stored("x", task("a")), {})
        while part.looked == before:
            await asyncio.sleep(0.001)
    signal_us()
    await running


async def test_sighup_reloads_what_can_be_read_anew(world: World) -> None:
    diary: list[str] = []
    made = service(world, Told("a", diary), on_ready=lambda: signal_us(signal.SIGHUP))
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(10):
        while "a reloads" not in diary:
            await asyncio.sleep(0.001)
    signal_us()
    await running


async def test_it_says_why_it_is_not_ready(world: World) -> None:
    made = service(world, Told("a", []))
    assert made.unready == ["the service is starting"]
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(10):
        while made.unready:
            await asyncio.sleep(0.001)
    signal_us()
    await running
    assert made.unready == ["the service is stopping"]
