"""`agentctl state`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import complete, context, output, params
from agentctl.errors import NotFound, UsageError
from agentctl.expressions.suggestions import did_you_mean

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Store

_ARGUMENTS = {"get": 1, "set": 2, "unset": 1}  # how many each takes


def command(
    loop: Annotated[
        str, typer.Argument(metavar="LOOP", help="The name of a loop or a skill.", autocompletion=complete.definitions)
    ],
    action: Annotated[str | None, typer.Argument(metavar="get|set|unset", help="Default: show everything.")] = None,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The name of a value, as in `state.KEY`.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="For `set`: JSON if it is any, else text.")] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Show or edit what a loop remembers between its runs.

    A run sees `state.*` as it was when the run started: an edit reaches those that start later.
    """
    _check(action, key, value)
    project = context.project(db)
    with context.reading(db) as store:
        remembered = _remembered(project, store, loop)
    if action in ("get", "unset") and key not in remembered:
        raise NotFound(f"{loop} remembers no {key!r}{did_you_mean(key or '', remembered)}")
    if action == "get":
        assert key is not None
        output.print_json(remembered[key]) if json else output.say(_shown(remembered[key]))
        return
    if action is not None:
        assert key is not None
        import asyncio

        values = {} if value is None else {key: _read(value)}
        remembered = asyncio.run(_edit(project, loop, values, [key] if action == "unset" else []))
    if json:
        output.print_json(remembered)
    elif action is not None:
        output.note(f"{action} {key}; runs of {loop} that start from now on see it")
    elif remembered:
        from agentctl.render.text import visible

        for name, one in remembered.items():
            output.say(f"{visible(name)}: {_shown(one)}")
    else:
        output.note(f"{loop} remembers nothing yet")


def _check(action: str | None, key: str | None, value: str | None) -> None:
    if action is None:
        return
    if action not in _ARGUMENTS:
        raise UsageError(f"state takes get, set or unset, not {action!r}{did_you_mean(action, _ARGUMENTS)}")
    given = [word for word in (key, value) if word is not None]
    if len(given) != _ARGUMENTS[action]:
        wanted = "KEY VALUE" if action == "set" else "KEY"
        raise UsageError(f"`agentctl state LOOP {action}` takes {wanted}")


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


def _read(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _shown(value: Any) -> str:
    from agentctl.render.text import indented

    return indented(value)


async def _edit(project: Project, name: str, values: dict[str, Any], unset: list[str]) -> dict[str, Any]:
    with context.writing(project) as store:
        await store.remember(name, values, unset)
        return store.memory(name)
