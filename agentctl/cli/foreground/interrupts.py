"""SIGINT and SIGTERM while a run is driven, heard from before it is made: none leaves a run behind of which nobody was told."""

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
    """The first one stops what is driven, or what is about to be; the second one ends the process at once.

    `came`: set by the first.
    """

    def __init__(self, *, json: bool) -> None:
        self.came = asyncio.Event()
        self._json = json
        self._stop: Callable[[], object] = lambda: None
        self._leave: Callable[[], object] = lambda: None
        self._last_words = "interrupted"

    def hear(self) -> None:
        if self.came.is_set():
            self._abandon()
        self.came.set()
        self._stop()

    @contextmanager
    def answered(self, stop: Callable[[], object], leave: Callable[[], object], last_words: str) -> Iterator[None]:
        """While inside, the first interrupt calls `stop`, the second calls `leave`, prints `last_words`."""
        self._stop, self._leave, self._last_words = stop, leave, last_words
        if self.came.is_set():
            stop()
        try:
            yield
        finally:
            self._stop = lambda: None

    def _abandon(self) -> NoReturn:
        try:
            self._leave()
            output.print_failure("interrupted", self._last_words, as_json=self._json)
            output.flush()
        finally:  # also when nobody reads any more what is written
            os._exit(INTERRUPTED)


@contextmanager
def heard(*, json: bool) -> Iterator[Interrupts]:
    """While inside, interrupts are heard. To be entered within the event loop."""
    loop = asyncio.get_running_loop()
    interrupts = Interrupts(json=json)
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupts.hear)
    try:
        yield interrupts
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
