"""The HTTP interface on loopback, over a real store and real definitions, in an event loop of its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import textwrap
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import AnyEvent
from agentctl.language.project.project import find
from agentctl.ports import HistoryFilter, NewEvent, RunRow, SendResult, Triggered
from agentctl.service.disk.deployer import Deployer
from agentctl.service.http.address import parse
from agentctl.service.http.context import Context
from agentctl.service.http.counters import Counters
from agentctl.service.http.listener import Listener
from agentctl.service.http.store_probe import StoreProbe
from agentctl.service.http.token import Token
from agentctl.service.problems import Problems
from agentctl.store.ledger import Ledger, open_store
from agentctl.triggers.events import EventTriggers

TOKEN = "the-token-of-the-test"
NOW = 1_800_000_000.0


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class _Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    async def sleep_until(self, due: float) -> None:
        raise NotImplementedError


class _Engine:
    """Keeps events, and drives nothing. `slow`: how long that takes."""

    def __init__(self, store: Ledger) -> None:
        self.store = store
        self.slow = 0.0
        self.asked = 0
        self.fails: Exception | None = None

    async def record(self, event: NewEvent, starts: Triggered) -> SendResult:
        self.asked += 1
        await asyncio.sleep(self.slow)
        if self.fails is not None:
            raise self.fails
        return await self.store.send(event, starts)


class _Secrets:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def names(self) -> list[str]:
        return sorted(self.values)

    def read(self, name: str) -> str:
        return self.values[name]

    def expect(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.values]


class Served:
    """The interface of one project. `secrets`, `clock`, `unready` may be changed while it is served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = _Clock()
        self.secrets = _Secrets().values
        self.unready: list[str] = []
        self.slots: dict[str, int] = {}
        self.url = ""
        self.store: Ledger = open_store(root / ".agentctl" / "agentctl.db", patience=0.2)
        self.counters = Counters(self.store)
        self.store.on_commit = self.counters.committed
        self.problems = Problems()
        self.engine = _Engine(self.store)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def start(self, listen: str = "127.0.0.1:0") -> None:
        """Deploy what was written, and listen."""
        self.wait(self._start(listen))

    async def _start(self, listen: str) -> None:
        project = find(self.root)
        secrets = _Secrets()
        secrets.values = self.secrets
        self.deployer = Deployer(project, self.store, self.clock)
        await self.deployer.begin()
        context = Context(
            store=self.store,
            engine=self.engine,
            clock=self.clock,
            secrets=secrets,
            triggers=EventTriggers(self.store, {}),
            deployed=self.deployer,
            vars={},
            unready=lambda: self.unready,
            slots=lambda: self.slots,
            problems=self.problems,
            counters=self.counters,
            store_probe=StoreProbe(self.store),
            token=Token(TOKEN, "the test", explicit=True),
        )
        listener = Listener(parse(listen), context)
        await listener.begin()
        self.url = listener.url
        self._running = asyncio.create_task(listener.run())

    async def pause(self, name: str) -> None:
        await self.store.pause(name, self.clock.now())
        await self.deployer.reload()

    def wait(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(20)

    def stop(self) -> None:
        """Returns when requests under way are finished."""
        running = self._running
        self._loop.call_soon_threadsafe(running.cancel)
        self.wait(asyncio.wait([running]))

    def close(self) -> None:
        if self.url:
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.store.close()
        self._loop.close()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Without a token."""
        connection = self.connection()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def authorized(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **(headers or {})})

    def runs(self, name: str | None = None) -> list[RunRow]:
        found = [self.store.run(row.id) for row in self.store.history(HistoryFilter(name=name, limit=1000))]
        return [row for row in found if row is not None]

    def observe(self, run_id: str, *events: AnyEvent) -> None:
        self.counters(run_id, events, None)  # type: ignore[arg-type]  # what it stands at is not looked at


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Not started yet: write definitions first."""
    made = Served(tmp_path)
    made.write("agentctl.yaml", "vars: {}\n")
    yield made
    made.close()


@pytest.fixture
def listening(served: Served) -> Served:
    """With a loop that the event `order.paid` starts."""
    served.write(
        "loops/orders.yaml",
        """
        loop: orders
        triggers: [{event: order.paid}]
        input: {order: {type: integer, default: 0}}
        steps: [{set: {order: "${{ input.order }}"}}]
        """,
    )
    served.start()
    return served
