"""`agentctl state`, and `agentctl state get|set|unset`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import complete, context, output, params
from agentctl.cli.approvals import refuse_inside_a_step
from agentctl.errors import NotFound
from agentctl.expressions.large import shown
from agentctl.expressions.suggestions import did_you_mean

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Store

Loop = Annotated[
    str, typer.Argument(metavar="LOOP", help="The name of a loop or a skill.", autocompletion=complete.definitions)
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The name of a value, as in `state.KEY`.")]


def command(
    loop: Annotated[
        str, typer.Argument(metavar="LOOP", help="The name of a loop or a skill.", autocompletion=complete.remembering)
    ],
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Show or edit what a loop remembers between its runs.

    A run sees `state.*` as it was when the run started: an edit reaches the runs that start later.
    """
    from agentctl.render.text import visible

    with context.reading(db) as store:
        remembered = _remembered(context.project(db), store, loop)
    if json:
        output.print_json(shown(remembered))
        return
    for name, value in remembered.items():
        output.say(f"{visible(name)}: {_text(value)}")
    if not remembered:
        output.note(f"{loop} remembers nothing yet")


def get(loop: Loop, key: Key, db: params.Db = None, json: params.Json = False) -> None:
    """Print one value."""
    with context.reading(db) as store:
        remembered = _remembered(context.project(db), store, loop)
    _demand(loop, key, remembered)
    output.print_json(shown(remembered[key])) if json else output.say(_text(remembered[key]))


def set(
    loop: Loop,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON if it parses as JSON, otherwise text.")],
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Set one value: `set LOOP n 7` is a number, `set LOOP n '"7"'` a text."""
    refuse_inside_a_step(_WHY)
    _edit(loop, {key: _read(value)}, [], db, json=json, change=f"set {key}")


def unset(loop: Loop, key: Key, db: params.Db = None, json: params.Json = False) -> None:
    """Remove one value."""
    refuse_inside_a_step(_WHY)
    _edit(loop, {}, [key], db, json=json, change=f"unset {key}")


_WHY = "a loop sets what it remembers by its own `remember` steps"
SUBCOMMANDS = {"get": get, "set": set, "unset": unset}


def _remembered(project: Project, store: Store | None, name: str) -> dict[str, Any]:
    """Raises NotFound for a name that no definition has and no run had."""
    from agentctl.language.catalog import Catalog
    from agentctl.ports import HistoryFilter

    found = {} if store is None else store.memory(name)
    if not found and (store is None or not store.history(HistoryFilter(name=name, limit=1))):
        catalog = Catalog(project)
        if catalog.kind(name) is None:
            raise NotFound(f"there is no loop or skill named {name!r}{did_you_mean(name, catalog.names())}")
    return found


def _demand(loop: str, key: str, remembered: dict[str, Any]) -> None:
    if key not in remembered:
        raise NotFound(f"{loop} remembers no {key!r}{did_you_mean(key, remembered)}")


def _read(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _text(value: Any) -> str:
    from agentctl.render.text import indented

    return indented(value)


def _edit(loop: str, values: dict[str, Any], unset: Sequence[str], db: str | None, *, json: bool, change: str) -> None:
    import asyncio

    project = context.project(db)
    with context.reading(db) as store:
        remembered = _remembered(project, store, loop)
    for key in unset:
        _demand(loop, key, remembered)

    async def write() -> dict[str, Any]:
        with context.writing(project) as store:
            await store.remember(loop, values, unset)
            return store.memory(loop)

    remembered = asyncio.run(write())
    if json:
        output.print_json(shown(remembered))
    else:
        output.note(f"{change}; runs of {loop} that start from now on see it")
