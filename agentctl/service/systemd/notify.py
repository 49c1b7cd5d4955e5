"""Notify systemd by the protocol of sd_notify(3): datagrams to the socket that `$NOTIFY_SOCKET` names."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

from agentctl.errors import StoreError
from agentctl.ports import Clock, Upkeep

log = logging.getLogger(__name__)


class Notifier:
    """Says nothing where nobody listens. The variables are taken out of the environment, for they are not for the steps."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        watched = int(environ.pop("WATCHDOG_PID", "") or os.getpid()) == os.getpid()
        microseconds = int(environ.pop("WATCHDOG_USEC", "") or 0)
        self.watchdog = microseconds / 1e6 if watched and self._address else 0.0
        """Seconds within which it wants to hear from us each time; 0: there is no watchdog."""

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """`ready` says when it is done. The time distinguishes this reload from earlier ones."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *fields: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address  # @: Linux's abstract namespace
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(fields).encode(), name)
        except OSError as error:
            log.warning("systemd could not be notified (%s): %s", fields[0], error)


class Heart:
    """While there is a watchdog, the store is written at half its interval; an answer of the store is a sign of life.

    A refusal for want of room is one, too: nothing is stuck, and a restart would not make room.
    """

    name = "heart"

    def __init__(self, store: Upkeep, clock: Clock, notifier: Notifier) -> None:
        self._store = store
        self._clock = clock
        self._notifier = notifier

    async def begin(self) -> None:
        pass

    async def run(self) -> None:
        while True:
            try:
                await self._store.check_writable()
            except StoreError as error:
                log.debug("heartbeat: %s", error)
            self._notifier.alive()
            await self._clock.sleep_until(self._clock.now() + self._notifier.watchdog / 2)

    def look(self) -> None:
        pass
