"""The child of a `python` step: calls one function. Run as a file, under `python -P`; imports nothing of agentctl.

argv: ROOT MODULE:FUNCTION FD. Reads the keyword arguments as JSON from stdin; writes one line to the pipe FD, so that what the
function prints goes to the log: `R` and the result as JSON, or `F` and `{"failure": kind, "message": ..., "exception": ...}`.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False  # `typing` takes longer to import than most functions take to run
if TYPE_CHECKING:
    from typing import Any

FRAMES = 8


class _Failure(Exception):
    """Reported to the runner as `failure: kind`, with the exception that it was raised from."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main() -> None:
    root, target, descriptor = sys.argv[1], sys.argv[2], int(sys.argv[3])
    arguments = json.load(sys.stdin)
    sys.path.insert(0, root)
    sys.argv[:] = [target]
    os.set_inheritable(descriptor, False)
    process = os.getpid()
    try:
        text = _answer(_call(_find(target), arguments))
    except _Failure as failure:
        cause = failure.__cause__
        exception = _described(cause) if cause is not None else str(failure)
        text = "F" + json.dumps({"failure": failure.kind, "message": str(failure), "exception": exception})
    sys.stdout.flush()
    sys.stderr.flush()
    if os.getpid() != process:  # a fork that the function made came back: the step's answer is not its to give
        os._exit(0)
    with open(descriptor, "w", encoding="utf-8") as channel:
        channel.write(text + "\n")


def _find(target: str) -> Any:
    """`package.module:name.of.function`. Raises _Failure."""
    module_name, _, path = target.partition(":")
    try:
        import importlib

        found: Any = importlib.import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
    except BaseException as error:
        raise _Failure("exception", _short(error)) from error
    return found


def _call(function: Any, arguments: dict[str, Any]) -> Any:
    try:
        result = function(**arguments)
        if hasattr(result, "__await__"):
            import asyncio

            result = asyncio.run(_awaited(result))
    except BaseException as error:  # SystemExit as well: a step has no exit code of its own
        raise _Failure("exception", _short(error)) from error
    return result


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _answer(value: Any) -> str:
    try:
        return "R" + json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _Failure("result", f"The function returned a {type(value).__name__} that is no JSON: {error}.") from error


def _short(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _described(error: BaseException) -> str:
    """Type, message and the last frames of the function's own code, as Python prints them; the frames of this file left out."""
    import traceback

    foreign = (__file__, "<frozen importlib")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(foreign)]
    lines = traceback.format_list(frames[-FRAMES:]) + traceback.format_exception_only(type(error), error)
    head = "Traceback (most recent call last):\n" if frames else ""
    return (head + "".join(lines)).rstrip()


if __name__ == "__main__":
    main()
