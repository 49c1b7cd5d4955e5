"""Every check of a definition, one after the other; each reports what it finds and none stops the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentctl.language.check.calls import check_calls, check_self_call
from agentctl.language.check.flow import check_flow, check_own_events, check_triggers
from agentctl.language.check.keywords import check_keywords
from agentctl.language.check.references import Names
from agentctl.language.check.shape import validate
from agentctl.language.check.walk import Walk
from agentctl.language.inputs import wrong_default
from agentctl.language.yaml.reader import Source, TooMany

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog


_TEXTS = frozenset({"description", "title", "examples", "$comment"})  # of a JSON Schema: words for people


def check_definition(source: Source, catalog: Catalog | None) -> Walk | None:
    """Report into `source`. Returns what the walk over the steps learned; None when there is nothing to walk over."""
    if not isinstance(source.data, dict):
        source.report((1, 1), "wrong-type", "a definition is a mapping that begins with 'loop: NAME' or 'skill: NAME'")
        return None
    walk: Walk | None = None
    try:
        walk = _all(source, catalog)
    except TooMany:
        source.give_up()
    _once(source)
    return walk


def _all(source: Source, catalog: Catalog | None) -> Walk:
    validate(source)
    project_file = catalog.project.file if catalog else None
    variables = catalog.project.vars if catalog and project_file else None
    walk = Walk(source, Names(source, variables, catalog.secrets if catalog else None))
    walk.definition()
    check_triggers(source, walk)
    check_flow(source, walk)
    check_own_events(source, walk)
    _schemas_of_inputs(source, walk)
    check_self_call(source)
    if catalog is not None:
        check_calls(source, walk, catalog)
    walk.names.report_unset_variables()
    walk.names.report_unset_secrets()
    if not any(problem.severity == "error" for problem in source.problems):
        _not_yet(source, walk)
    return walk


def _not_yet(source: Source, walk: Walk) -> None:
    """A warning to who checks a file; to who runs it, an error (`load.load_to_run`)."""
    for path in walk.not_yet:
        message = f"this version of agentctl cannot run '{path[-1]}' steps, so it refuses to run the definition"
        source.report(source.at(path), "not-supported", message, "warning")


def _schemas_of_inputs(source: Source, walk: Walk) -> None:
    declared = source.data.get("input")
    broken = {problem.line for problem in source.problems if problem.code in ("bad-schema", "wrong-type")}
    for name, schema in declared.items() if isinstance(declared, dict) else ():
        check_keywords(source, ("input", name), schema)
        for key, value in schema.items() if isinstance(schema, dict) else ():
            if key not in _TEXTS:
                walk.fixed(("input", name, key), value, key)
        place = source.at(("input", name, "default"))
        if not broken & {place[0], source.at(("input", name))[0]} and (message := wrong_default(schema)):
            source.report(place, "bad-default", f"the default of '{name}' {message}")


def _once(source: Source) -> None:
    """An expression where only a fixed value is possible is found by the schema and by the walk: report it once a line."""
    lines: set[int] = set()
    kept = []
    for problem in source.problems:
        if problem.code != "expression-here" or problem.line not in lines:
            kept.append(problem)
        if problem.code == "expression-here":
            lines.add(problem.line)
    source.problems[:] = kept
