"""The shape of a definition against its JSON Schema, each cause once, in the user's words and at its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from agentctl.expressions.suggestions import did_you_mean
from agentctl.language import messages
from agentctl.language.formats import FORMATS, InnerError
from agentctl.language.schema import schema
from agentctl.language.vocabulary import actions_of
from agentctl.language.yaml.reader import MAX_PROBLEMS, Source
from agentctl.language.yaml.tree import Path
from agentctl.spec import action
from agentctl.spec.agent import NOT_YET

# Keywords that all say one thing: this value is not one that the key takes.
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "minItems", "minLength", "minProperties", "uniqueItems")
_VALUE = frozenset({"type", "enum", "pattern", "format", *_LIMITS})


def validate(source: Source, document: Callable[[], dict[str, Any]] = schema) -> None:
    """Report everything in which the data is not of the shape that a schema says: a definition's, if no other is given."""
    shape = _Shape(source)
    for error in _validator(document).iter_errors(source.data):
        shape.take(error)
    shape.finish()


@lru_cache(2)
def _validator(document: Callable[[], dict[str, Any]]) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker, validators
    from referencing import Registry

    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name, raises=ValueError)(lambda value, check=check: check(value) is None)
    validator = validators.extend(Draft202012Validator, {"oneOf": _one_of})
    return validator(document(), registry=Registry(), format_checker=checker)


def _one_of(validator: Any, choices: list[Any], instance: Any, schema: dict[str, Any]) -> Iterator[Any]:
    """`oneOf` where every choice is a required key: counted, instead of trying twenty schemas on every step."""
    from jsonschema import ValidationError

    if isinstance(instance, dict) and len(_present(choices, instance)) != 1:
        yield ValidationError("")


def _present(choices: list[Any], instance: dict[str, Any]) -> list[str]:
    """Which of the keys that exactly one is needed of are there; a choice may say that others must not be (`steps`)."""
    absent = ((choice["required"][0], choice.get("properties", ())) for choice in choices)
    return [key for key, others in absent if key in instance and not any(other in instance for other in others)]


class _Shape:
    """The errors of one file. What stands at one path is reported once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.seen: set[tuple[Path, str]] = set()
        self.renamed: set[Path] = set()  # mappings with an unknown key that was probably meant to be what is missing
        self.later: list[tuple[Path, Any]] = []  # what is missing or misplaced, reported unless a renamed key explains it

    def take(self, error: Any) -> None:
        path: Path = tuple(error.absolute_path)
        kind = error.validator
        group = "value" if kind in _VALUE else kind
        if kind in ("enum", "pattern") and "propertyNames" in error.absolute_schema_path:
            self.key(path, error)
        elif (path, group) in self.seen:
            return
        elif kind == "additionalProperties":
            for key in error.instance:
                if key not in error.schema["properties"]:
                    self.unknown(path, key, error.schema["title"], error.schema["properties"])
        elif kind in _VALUE:
            self.value(path, error)
        else:
            self.later.append((path, error))
            if len(self.later) > MAX_PROBLEMS:
                self.finish()
        self.seen.add((path, group))

    def key(self, path: Path, error: Any) -> None:
        if "enum" in error.schema:
            self.unknown(path, error.instance, error.schema["title"], error.schema["enum"])
        else:
            place = self.source.at((*path, error.instance))
            self.source.report(place, "wrong-value", f"the name '{error.instance}' has to be {error.schema['x-expected']}")

    def unknown(self, path: Path, key: str, title: str, known: Any) -> None:
        if key in NOT_YET.get(title, ()):
            self.renamed.add(path)  # no more is said of the mapping
            message = f"this version of agentctl has no '{key}' in {title}"
            self.source.report(self.source.at((*path, key)), "not-supported", message)
            return
        meant = messages.SYNONYMS.get(key.lower().replace("-", "_"))
        hint = f"; did you mean '{meant}'?" if meant in known else "" if meant else did_you_mean(key, known)
        if hint:
            self.renamed.add(path)
        elif len(known) <= 10:
            hint = f"; it takes {', '.join(known)}"
        self.source.report(self.source.at((*path, key)), "unknown-key", f"unknown key '{key}' in {title}{hint}")

    def value(self, path: Path, error: Any) -> None:
        if isinstance(error.cause, InnerError):
            place = self.source.at((*path, *error.cause.path))
            self.source.report(place, "bad-schema", f"{messages.subject(path)} is not a valid JSON Schema: {error.cause}")
            return
        if isinstance(error.instance, str) and "${{" in error.instance:
            message = f"{messages.subject(path)} takes no expression; it has to be {messages.expected(error.schema)}"
            self.source.report(self.source.at(path), "expression-here", message)
            return
        default = "wrong-type" if error.validator == "type" else "wrong-value"
        self.source.report(self.source.at(path), error.schema.get("x-code", default), messages.value(path, error))

    def finish(self) -> None:
        for path, error in self.later:
            if error.validator == "oneOf":
                self.one(path, error)
            elif path in self.renamed:
                continue
            elif error.validator == "required":
                missing = [f"'{key}'" for key in error.validator_value if key not in error.instance]
                title = error.schema.get("title") or messages.subject(path)
                self.source.report(self.source.at(path), "missing-key", f"{title} needs {messages.listed(missing, 'and')}")
            elif error.validator == "dependentRequired":
                self.beside(path, error)
            elif error.validator == "not":
                names = messages.listed([f"'{key}'" for key in error.validator_value["required"]], "and")
                self.source.report(self.source.at(path), "wrong-value", f"{error.schema['title']} takes only one of {names}")
            elif error.validator == "anyOf":
                key = error.schema["x-key"]
                names = messages.listed([f"'{choice['required'][0]}'" for choice in error.validator_value], "or")
                self.source.report(self.source.at((*path, key)), "misplaced-key", f"'{key}' stands beside {names}")

    def one(self, path: Path, error: Any) -> None:
        """Exactly one of some keys is needed: none or several are there."""
        instance, what = error.instance, error.schema.get("x-one", "kind")
        keys = [choice["required"][0] for choice in error.validator_value]
        found = _present(error.validator_value, instance)
        title = error.schema["title"]
        if len(found) > 1:
            code = "two-actions" if what == "action" else "wrong-value"
            names = messages.listed([f"'{key}'" for key in found], "and")
            message = f"{title} has exactly one {what}, but here are {names}"
            later = max(found, key=lambda key: self.source.at((*path, key)))
            self.source.report(self.source.at((*path, later)), code, message)
        elif path not in self.renamed or not path:
            code = "no-action" if what == "action" else "missing-key"
            message = f"{title} needs {'an' if what == 'action' else 'a'} {what}: one of {', '.join(keys)}"
            if not path:
                message = "a definition needs the key 'loop' or 'skill' with its name"
            self.source.report(self.source.at(path), code, message)

    def beside(self, path: Path, error: Any) -> None:
        if (path, "oneOf") in self.seen and not actions_of(error.instance):
            return  # the missing action is reported already
        for key, needed in error.validator_value.items():
            if key not in error.instance or needed[0] in error.instance:
                continue
            place = self.source.at((*path, key))
            if action(key) is not None:
                self.source.report(place, "missing-key", f"'{key}' needs '{needed[0]}' beside it")
            elif key == "on_unknown":
                self.source.report(place, "misplaced-key", "'on_unknown' has a meaning only beside 'effect: once'")
            else:
                wanted = "'steps', 'foreach' or 'repeat'" if key == "output" else f"'{needed[0]}'"
                self.source.report(place, "misplaced-key", f"'{key}' stands beside {wanted}, and this step has none")
