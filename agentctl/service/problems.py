"""What fails in the service without stopping it: a schedule, a pile of events, a definition. Each is logged when it begins."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from agentctl.errors import AgentctlError, StoreError

log = logging.getLogger(__name__)


class Problems:
    """By subject (`schedule NAME`), what fails now. Also counts, by the part of the service that met it."""

    def __init__(self) -> None:
        self._present: dict[tuple[str, str], str] = {}

    @property
    def present(self) -> dict[tuple[str, str], str]:
        """(part, subject) -> message."""
        return dict(self._present)

    @contextmanager
    def isolated(self, part: str, subject: str) -> Iterator[None]:
        """Report an exception inside, instead of passing it on: what comes after continues. A success ends the problem.

        An error of the store is passed on, for it concerns everybody.
        """
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            self.report(part, subject, error)
        else:
            self.clear(part, subject)

    def report(self, part: str, subject: str, error: Exception) -> None:
        """Log a problem that is not known yet, with its traceback where it is a mistake of ours."""
        message = str(error) or type(error).__name__
        if self._present.get((part, subject)) != message:
            self._present[part, subject] = message
            trace = None if isinstance(error, AgentctlError) else error
            log.error("%s: %s fails: %s; the others continue", part, subject, message, exc_info=trace)

    def clear(self, part: str, subject: str) -> None:
        """Log that a problem is over."""
        if self._present.pop((part, subject), None) is not None:
            log.info("%s: %s works again", part, subject)
