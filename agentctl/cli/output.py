"""The two streams: documents and results on stdout, everything said to people on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentctl.errors import AgentctlError, DefinitionInvalid

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def prepare_streams() -> None:
    """A character that the stream's encoding lacks is shown as `?` and stops nothing; a closed stream is as /dev/null."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in this order, each gets its own number: 0, 1, 2
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # stays open for the life of the process
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # real streams have it; a test's may not


def drop_stdout() -> None:
    """The reader has gone: what is still buffered goes nowhere, and Python's flush at exit says nothing."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """A result, on stdout."""
    sys.stdout.write(f"{text}\n")


def flush() -> None:
    sys.stdout.flush()


def note(text: str) -> None:
    """A word to people, on stderr. A stderr that is gone takes nothing down with it."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def print_json(document: Any) -> None:
    """The one document of `--json`."""
    say(_as_json(document, indent=2))


def json_line(document: Any) -> str:
    """The same on one line, to stand among others."""
    return _as_json(document, indent=None)


def _as_json(document: Any, indent: int | None) -> str:
    import msgspec

    try:
        text = msgspec.json.encode(document)
        shown = (text if indent is None else msgspec.json.format(text, indent=indent)).decode()
        if _is_utf8(sys.stdout.encoding) or shown.isascii():
            return shown
    except UnicodeEncodeError:  # half a character, out of a file name or an argument that is not UTF-8
        pass
    import json

    return json.dumps(document, indent=indent)  # every other character as \uXXXX, which any encoding can write


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "utf-8").replace("_", "-").lower() in ("utf-8", "utf8")


def print_error(error: AgentctlError, *, as_json: bool) -> None:
    """An error of ours: its own sentence; a definition's problems with their source lines."""
    if as_json or not isinstance(error, DefinitionInvalid):
        print_failure(error.kind, str(error), as_json=as_json)
        return
    from agentctl.cli.problems import problem_blocks

    path = getattr(error, "path", None)
    note(problem_blocks(error.problems, {} if path is None else {problem.file: path for problem in error.problems}))


def print_failure(kind: str, message: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"type": kind, "message": message}})
        return
    from agentctl.render.text import visible

    note(f"error: {visible(message, lines=True)}")


def print_interrupt(words: str, *, as_json: bool) -> None:
    note(words)
    if as_json:
        print_failure("interrupted", words, as_json=True)


def on_terminal() -> bool:
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def show(plain: Callable[[], str], rich: Callable[[Console], RenderableType]) -> None:
    """The plain form when piped, the rich one on a terminal; only the one that is printed is made."""
    if on_terminal():
        screen = console()
        screen.print(rich(screen))
    else:
        say(plain())
