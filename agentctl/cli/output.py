"""What a command answers: results and documents on stdout, messages for people on stderr, an exit code."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentctl.errors import AgentctlError, DefinitionInvalid

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from agentctl.language.problems import Problem

# Exit codes that commands return; those of errors stand in `errors`.
FAILED = 1  # a run, a test case, a check
INVALID = 2  # a file has mistakes
UNFINISHED = 3  # the run waits, or no process drives it yet
INTERRUPTED = 130  # as a shell reports a process that Ctrl-C ended
CUT_OFF = 141  # ... and one that SIGPIPE ended

# What would steer a terminal or hide text on it: JSON can say it as \uXXXX.
_HIDDEN = re.compile(r"[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
_READ = 1 << 20  # bytes of a file from which source lines are shown
_WIDEST = 300  # columns of a source line


def prepare_streams() -> None:
    """Replace characters that a stream cannot encode by `?`; treat a closed stream as /dev/null."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in this order, each gets its own number: 0, 1, 2
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # stays open for the life of the process
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # real streams have it; a test's may not


def drop_stdout() -> None:
    """Discard what is still buffered for a reader that has gone, so that the flush at exit is silent."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a result on stdout."""
    sys.stdout.write(f"{text}\n")


def flush() -> None:
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a message for people on stderr. A closed stderr is ignored."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def print_json(document: Any) -> None:
    """Print the one document of `--json`."""
    say(_as_json(document, indent=2))


def json_line(document: Any) -> str:
    """Return a document on one line."""
    return _as_json(document, indent=None)


def _as_json(document: Any, indent: int | None) -> str:
    import msgspec

    try:
        text = msgspec.json.encode(document)
        shown = (text if indent is None else msgspec.json.format(text, indent=indent)).decode()
        if shown.isascii():
            return shown
        if _is_utf8(sys.stdout.encoding):
            return _HIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", shown)
    except UnicodeEncodeError:  # half a character, out of a file name or an argument that is not UTF-8
        pass
    import json

    return json.dumps(document, indent=indent)  # every other character as \uXXXX, which any encoding can write


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "utf-8").replace("_", "-").lower() in ("utf-8", "utf8")


def print_error(error: AgentctlError, *, as_json: bool) -> None:
    """Report one of our errors: its message; for a definition, every problem with its source line."""
    if as_json or not isinstance(error, DefinitionInvalid):
        print_failure(error.kind, str(error), as_json=as_json)
        return
    path = getattr(error, "path", None)
    note(problem_blocks(error.problems, {} if path is None else {problem.file: path for problem in error.problems}))


def print_failure(kind: str, message: str, *, as_json: bool) -> None:
    """Report an error on stderr; with `as_json`, in one line, and as a document on stdout."""
    from agentctl.render.text import visible

    prefix = "" if kind == "interrupted" else "error: "
    if not as_json:
        note(prefix + visible(message, lines=True))
        return
    first, *more = message.splitlines() or [""]
    line = prefix + visible(first) + (f" (and {len(more)} more)" if more else "")
    if kind == "interrupted":  # the reader of the document may have gone with the same key
        note(line)
    print_json({"error": {"type": kind, "message": message}})
    if kind != "interrupted":
        flush()
        note(line)


def problem_blocks(problems: Sequence[Problem], files: Mapping[str, Path] | None = None) -> str:
    """Return every problem with its source line and a caret. `files`: where to read what a problem calls its file."""
    from agentctl.language.problems import format_problem
    from agentctl.render.text import cut, visible

    texts: dict[str, str] = {}
    for problem in problems:
        if problem.code == "not-text":  # its first line would be noise
            texts[problem.file] = ""
        elif problem.file not in texts:
            texts[problem.file] = _source((files or {}).get(problem.file, Path(problem.file)))
    blocks = [format_problem(problem, texts[problem.file]) for problem in problems]
    return "\n".join(cut(visible(line, lines=True), _WIDEST) for block in blocks for line in block.split("\n"))


def _source(path: Path) -> str:
    """Return the text of a file, as far as it is worth showing."""
    try:
        with path.open("rb") as file:
            return file.read(_READ).decode("utf-8", "replace")
    except OSError:
        return ""


def show_log() -> None:
    """Print our own warnings and errors on stderr; other packages are silent. AGENTCTL_DEBUG=1: everything, with tracebacks."""
    import logging

    from agentctl.render.text import visible

    class OneLine(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            cause = "" if error is None else f": {type(error).__name__}: {error}"
            note(f"{record.levelname.lower()}: {visible(record.getMessage() + cause)}")

    if os.environ.get("AGENTCTL_DEBUG") == "1":
        logging.basicConfig(level=logging.INFO)
        return
    logging.getLogger().addHandler(logging.NullHandler())
    ours = logging.getLogger("agentctl")
    ours.setLevel(logging.WARNING)
    ours.addHandler(OneLine())
    ours.propagate = False


def on_terminal() -> bool:
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def show(plain: Callable[[], str], rich: Callable[[Console], RenderableType]) -> None:
    """Print the plain form in a pipe, the rich one on a terminal. Only the one that is printed is built."""
    if on_terminal():
        screen = console()
        screen.print(rich(screen))
    else:
        say(plain())
