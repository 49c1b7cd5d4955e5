"""Calls of skills: is there one of that name, does it take what it is given, can it ever end?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.check.walk import Walk
from agentctl.language.inputs import has_default
from agentctl.language.vocabulary import actions_of
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog


def check_self_call(source: Source) -> None:
    """A skill may call itself; not so that nothing could keep it from doing it again, for ever."""
    data = source.data
    name = data.get("skill")
    if not isinstance(name, str) or not isinstance(data.get("steps"), list):
        return
    for key in ("steps", "on_success", "finally"):
        path = _certain_call((key,), data.get(key), name)
        if path is not None:
            message = f"skill '{name}' calls itself every time and would never end; give this step an 'if'"
            source.report(source.at((*path, "skill")), "self-call", message)


def _certain_call(path: Path, steps: Any, name: str) -> Path | None:
    """The path of a step that calls `name` in every run: nothing around it or before it can end the run sooner."""
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if not isinstance(step, dict):
            continue
        actions = actions_of(step)
        if "return" in actions or "fail" in actions:
            return None
        if "if" in step:
            if _may_end(step):
                return None
            continue
        if step.get("skill") == name:
            return (*path, index)
        if actions == ["steps"]:
            found = _certain_call((*path, index, "steps"), step["steps"], name)
            if found is not None:
                return found
        if _may_end(step):
            return None
    return None


def _may_end(value: Any) -> bool:
    """Whether a `return` or `fail` stands anywhere inside."""
    if isinstance(value, dict):
        return "return" in value or "fail" in value or any(_may_end(item) for item in value.values())
    return isinstance(value, list) and any(_may_end(item) for item in value)


def check_calls(source: Source, walk: Walk, catalog: Catalog) -> None:
    """With a catalog: every skill that is called exists, and takes the arguments it is given."""
    own = source.data.get("skill")
    for name, path in walk.skills:
        if name == own or not name:
            continue
        kind = catalog.kind(name)
        place = source.at(path)
        if kind is None:
            source.report(place, "unknown-skill", f"there is no skill '{name}'{did_you_mean(name, catalog.names('skill'))}")
        elif kind != "skill":
            source.report(place, "unknown-skill", f"'{name}' is a loop; only a skill can be called")
        elif path[-1] == "skill" and "agent" not in path[-4:-1]:
            _arguments(source, path[:-1], name, catalog.inputs(name))
    _twins(source, catalog)


def _arguments(source: Source, path: Path, name: str, declared: dict[str, Any] | None) -> None:
    step = source.data
    for key in path:
        step = step[key]
    given = step.get("with", {})
    if declared is None or not isinstance(given, dict):
        return
    for key in given:
        if key not in declared:
            hint = (did_you_mean(key, declared) or f"; it takes {', '.join(declared)}") if declared else "; it takes none"
            source.report(source.at((*path, "with", key)), "skill-argument", f"skill '{name}' has no input '{key}'{hint}")
    for key, schema in declared.items():
        if key not in given and not has_default(schema):
            message = f"skill '{name}' needs the input '{key}': pass it by 'with'"
            source.report(source.at((*path, "skill")), "skill-argument", message)


def _twins(source: Source, catalog: Catalog) -> None:
    for kind in ("loop", "skill"):
        name = source.data.get(kind)
        files = [catalog.shown(path) for path in catalog.files(name)] if isinstance(name, str) else []
        others = [file for file in files if file != source.file]
        if len(others) < len(files) and others:
            source.report(source.at((kind,)), "name-taken", f"{others[0]} defines '{name}' as well", "warning")
