"""Why a connection failed: the innermost of a chain of errors that says anything."""

from __future__ import annotations

import socket


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and what caused it, the innermost last. Of a group, the first error counts."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
    return found


def cause(error: BaseException, *, without: str = "Connection error") -> str:
    """A clause such as `the connection was refused`. `without`: a text that says nothing."""
    for link in reversed(chain(error)):
        if isinstance(link, ConnectionRefusedError):
            return "the connection was refused"
        if isinstance(link, socket.gaierror):
            return f"the host is not known ({link.strerror})"
        if isinstance(link, OverflowError):
            return "a port is out of range"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        text = " ".join(str(link).split()).rstrip(".")
        if text and without not in text:
            return text
    return "the connection failed"


def was_not_made(error: BaseException) -> bool:
    """Whether there was no connection at all, so that nothing can have been sent."""
    return any(isinstance(link, ConnectionRefusedError | socket.gaierror | OverflowError) for link in chain(error))
