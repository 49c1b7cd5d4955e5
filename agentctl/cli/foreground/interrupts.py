"""SIGINT and SIGTERM while a run is driven, handled from before it is created: no run is left behind unreported."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from agentctl.cli import output
from agentctl.cli.output import INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """The first signal stops what is driven, or about to be; the second ends the process at once.

    `came`: set by the first.
    """

    def __init__(self, *, json: bool) -> None:
        self.came = asyncio.Event()
        self._json = json
        self._stop: Callable[[], object] = lambda: None
        self._leave: Callable[[], object] = lambda: None
        self._message = "interrupted"

    def receive(self) -> None:
        if self.came.is_set():
            self._abandon()
        self.came.set()
        self._stop()

    @contextmanager
    def answered(self, stop: Callable[[], object], leave: Callable[[], object], message: str) -> Iterator[None]:
        """Let the first interrupt call `stop`, and the second call `leave` and print `message`."""
        self._stop, self._leave, self._message = stop, leave, message
        if self.came.is_set():
            stop()
        try:
            yield
        finally:
            self._stop = lambda: None

    def _abandon(self) -> NoReturn:
        try:
            self._leave()
            output.print_failure("interrupted", self._message, as_json=self._json)
            output.flush()
        finally:  # also when no reader is left
            os._exit(INTERRUPTED)


@contextmanager
def handling_interrupts(*, json: bool) -> Iterator[Interrupts]:
    """Handle interrupts. Enter within the event loop."""
    loop = asyncio.get_running_loop()
    interrupts = Interrupts(json=json)
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupts.receive)
    try:
        yield interrupts
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
