"""The life of `agentctl serve`: its parts begin, it says that it is ready, they work, it stops with grace."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, runtime_checkable

from agentctl.engine.engine import Engine
from agentctl.engine.store_retry import is_passing
from agentctl.errors import AgentctlError, StoreError
from agentctl.ports import Clock
from agentctl.service.component import Component
from agentctl.service.systemd.notify import Heart, Notifier

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0  # seconds until a part that failed begins again
_MOST_FAILURES = 5  # in a row; then the service ends rather than pretend that all is well
_WELL = 60.0  # seconds after which a part that runs counts as well again


@runtime_checkable
class Reloading(Protocol):
    """A part that can read again what it read at its beginning."""

    async def reload(self) -> None: ...


class Service:
    """`run` it once. `parts`: in the order in which they begin, the engine among them; they stop the last first.

    `grace`: seconds that running attempts have to end in.
    `on_ready`: called when it is ready.
    """

    def __init__(
        self,
        engine: Engine,
        parts: Sequence[Component],
        clock: Clock,
        notifier: Notifier,
        *,
        grace: float,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._parts = list(parts)
        self._clock = clock
        self._notifier = notifier
        self._grace = grace
        self._on_ready = on_ready
        self._ready = False
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # a signal, or a part failed
        self._signals = 0
        self._under_way: set[asyncio.Task[None]] = set()  # reloads, and a stop that lost its patience
        if notifier.watchdog:
            self._parts.append(Heart(engine.store, clock, notifier))
        engine.on_news = self._look

    @property
    def unready(self) -> list[str]:
        """Why it is not ready, in sentences; empty: it is."""
        if self._ending.done():
            return ["the service is stopping"]
        if not self._ready:
            return ["the service is starting"]
        return ["the store cannot be written"] if self._engine.is_tried else []

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises AgentctlError when a part cannot begin, and what keeps one from continuing."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            if await self._begin():
                await asyncio.wait([self._ending])
        finally:
            await self._end()
        self._ending.result()

    async def _begin(self) -> bool:
        """False: it was stopped before it was ready."""
        beginning = asyncio.ensure_future(self._begin_all())
        await asyncio.wait([beginning, self._ending], return_when=asyncio.FIRST_COMPLETED)
        if not beginning.done():
            beginning.cancel()
            await asyncio.wait([beginning])
            return False
        beginning.result()
        self._ready = True
        self._notifier.ready("driving runs")
        self._on_ready()
        return True

    async def _begin_all(self) -> None:
        for part in self._parts:
            has_begun = await self._has_begun(part)
            self._tasks.append(asyncio.create_task(self._keep(part, has_begun), name=part.name))

    async def _has_begun(self, part: Component) -> bool:
        """False: it has a bug, and begins again later; ready does not wait for it. Raises AgentctlError: there is no service."""
        try:
            await part.begin()
        except AgentctlError:
            raise
        except Exception as error:
            if part is self._engine:
                raise
            log.error("the %s could not begin: %s; the others do", part.name, error, exc_info=error)
            return False
        return True

    async def _keep(self, part: Component, has_begun: bool) -> None:
        """Let a part work, for ever. One that fails begins again; one that keeps failing ends the service."""
        loop = asyncio.get_running_loop()
        failures, pause = 0, _FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                if not has_begun:
                    await part.begin()
                has_begun = False
                await part.run()
                raise RuntimeError(f"the {part.name} ended by itself")
            except Exception as error:
                if loop.time() - began > _WELL:
                    failures, pause = 0, _FIRST_PAUSE
                if isinstance(error, AgentctlError) and is_passing(error):
                    log.error("%s: %s; trying again", part.name, error)
                else:
                    failures += 1
                    hopeless = isinstance(error, StoreError) or failures >= _MOST_FAILURES
                    log.error("the %s failed: %s", part.name, error, exc_info=None if isinstance(error, AgentctlError) else error)
                    if hopeless:
                        self._fail(error)
                        return
            await self._clock.sleep_until(self._clock.now() + pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _fail(self, error: Exception) -> None:
        if not self._ending.done():
            self._ending.set_exception(error)

    # --- news, signals ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        for part in self._parts:
            if part is not self._engine:
                part.look()

    def _stop(self) -> None:
        """The first signal lets running attempts end; the second stops them; the third ends the process."""
        self._signals += 1
        if self._signals == 1:
            log.info("stopping: no step starts any more; running ones get %gs (a second signal stops them)", self._grace)
        elif self._signals == 2:
            self._start(self._engine.stop())
        else:
            os._exit(128 + signal.SIGTERM)
        if not self._ending.done():
            self._ending.set_result(None)

    def _reload(self) -> None:
        self._start(self._reload_all())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _reload_all(self) -> None:
        self._notifier.reloading()
        for part in self._parts:
            if isinstance(part, Reloading):
                try:
                    await part.reload()
                except AgentctlError as error:
                    log.error("the %s could not reload: %s; it continues as it was", part.name, error)
        log.info("reloaded")
        self._notifier.ready("driving runs")

    async def _end(self) -> None:
        """No step starts any more. Parts end first, so that nothing comes in; then the engine, with what is left of the grace."""
        self._notifier.stopping("running steps get the grace period")
        self._ready = False
        self._engine.wind_up()
        loop = asyncio.get_running_loop()
        out_of_time = loop.time() + self._grace
        keeping = [task for task in reversed(self._tasks) if task.get_name() != Heart.name]
        for task in keeping:
            task.cancel()
            await asyncio.wait([task])
        failed = self._ending.done() and self._ending.exception() is not None
        grace = max(0.0, out_of_time - loop.time())
        await self._engine.stop(0.0 if failed or self._signals > 1 else grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
