"""`agentctl logs`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import context, output, params
from agentctl.errors import UsageError
from agentctl.render.text import clock, visible
from agentctl.views.runs import timestamp

if TYPE_CHECKING:
    from agentctl.ports import Runs

_PAUSE = 0.2  # seconds between two reads of the file while following


EXAMPLES = (
    "agentctl logs last",
    "agentctl logs last --follow",
)


def command(
    run: params.Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the run ends or stops.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Print what the steps of a run wrote."""
    if follow and json:
        raise UsageError("--follow prints no single JSON document; leave out --follow or --json")
    with context.recorded(db, run) as (store, row):
        path = store.log_path(row.id)
        if json:
            output.print_json([{**entry, "at": timestamp(entry["at"])} for entry in entries(path)])
        elif follow:
            _follow(store, row.id, path)
        else:
            for entry in entries(path):
                output.say(format_entry(entry))


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a log, `{at, path, attempt, stream, text}`, without a line that a crash cut short."""
    if path.exists():
        with path.open("rb") as file:
            yield from _decoded(file.read())


def format_entry(entry: dict[str, Any]) -> str:
    """Return `15:40:51 disk  text`, with this head on every line; other streams than stdout are named."""
    stream = "" if entry["stream"] == "stdout" else f"[{entry['stream']}] "
    head = f"{clock(entry['at'])[11:]} {visible(entry['path'])}  {stream}"
    return "\n".join(head + visible(line, lines=True) for line in entry["text"].rstrip("\n").split("\n"))


def _decoded(data: bytes) -> Iterator[dict[str, Any]]:
    import msgspec

    for line in data.splitlines():
        try:
            yield msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue


def _follow(store: Runs, run_id: str, path: Path) -> None:
    """Print what is there and what comes, until no process drives the run any more."""
    offset = 0
    while True:
        row = store.run(run_id)
        moving = row is not None and row.status in ("queued", "running", "waiting")
        data = _from(path, offset)
        whole = data[: data.rfind(b"\n") + 1]
        offset += len(whole)
        for entry in _decoded(whole):
            output.say(format_entry(entry))
        output.flush()
        if not moving:
            return
        time.sleep(_PAUSE)


def _from(path: Path, offset: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()
