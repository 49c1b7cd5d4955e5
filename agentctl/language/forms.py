"""The form of an approval: what a person fills in, read and checked by the declared schemas as inputs are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentctl.errors import InputInvalid
from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.inputs import expected, has_default, read_text, wrong_value


def read_form(form: Mapping[str, Any], pairs: Iterable[str], *, complete: bool) -> dict[str, Any]:
    """The values of a form (name -> JSON Schema) from `k=v` texts, defaults filled in.

    `complete`: every field without a default has to be given (who rejects need not fill in anything).
    Raises InputInvalid naming the field and what was expected.
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputInvalid(f"a field of the form is given as --data NAME=VALUE, not '{pair}'")
        if name not in form:
            hint = did_you_mean(name, form) or (f"; it has {', '.join(form)}" if form else "")
            raise InputInvalid(f"the approval has no field '{name}'{hint}" if form else "the approval has no form to fill in")
        if name in given:
            raise InputInvalid(f"field '{name}' is given twice; what is signed has to be clear")
        given[name] = read_field(name, text, form[name])
    missing = [name for name, schema in form.items() if name not in given and not has_default(schema)]
    if missing and complete:
        asked = ", ".join(f"--data {name}=... ({expected(form[name])})" for name in missing)
        raise InputInvalid(f"the approval has a form to fill in: {asked}")
    return {
        name: given[name] if name in given else schema["default"]
        for name, schema in form.items()
        if name in given or (complete and has_default(schema))
    }


def read_field(name: str, text: str, schema: Any) -> Any:
    """One field as typed. Raises InputInvalid."""
    try:
        value = read_text(text, schema)
    except ValueError as error:
        raise InputInvalid(f"field '{name}' {error}") from None
    problem = wrong_value(value, schema)
    if problem:
        raise InputInvalid(f"field '{name}' {problem}")
    return value
