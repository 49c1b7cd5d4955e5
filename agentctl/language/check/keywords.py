"""Keywords of the JSON Schemas that users write: a misspelled one has no effect, and the schema takes what it should refuse.

JSON Schema lets anybody add keywords, so only those that resemble a known one are reported, as warnings.
"""

from __future__ import annotations

from typing import Any

from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path
from agentctl.spec.schemas import spelled_out

# Which hold other schemas, by the vocabularies of draft 2020-12: one, a list of them, or a mapping of names to them.
_ONE = frozenset(
    {
        "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})
_KNOWN = _ONE | _LIST | _NAMED | frozenset(
    {
        "$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary", "const",
        "contentEncoding", "contentMediaType", "default", "dependentRequired", "deprecated", "description", "enum", "examples",
        "exclusiveMaximum", "exclusiveMinimum", "format", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum",
        "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "readOnly", "required",
        "title", "type", "uniqueItems", "writeOnly",
    }
)  # fmt: skip
_MEANT = [word for word in sorted(_KNOWN) if not word.startswith("$") and word not in ("if", "then", "else", "not")]
# Words of older drafts and of OpenAPI, which look like some of these and are no slips.
_ELSEWHERE = frozenset({"additionalItems", "definitions", "dependencies", "discriminator", "example", "id", "nullable", "xml"})


def check_keywords(source: Source, path: Path, schema: Any) -> None:
    """Warn of unknown keywords that look like a known one in the JSON Schema at `path`."""
    for key, value in schema.items() if isinstance(schema, dict) else ():
        at = (*path, key)
        if key in _ONE:
            check_keywords(source, at, value)
        elif key in _NAMED or key in _LIST:
            _each(source, at, value)
        elif key not in _KNOWN and key not in _ELSEWHERE and not key.startswith("x-"):
            hint = did_you_mean(key, _KNOWN if key.startswith("$") else _MEANT)
            if hint:
                message = f"'{key}' is no keyword of JSON Schema and has no effect{hint}"
                source.report(source.at(at), "unknown-keyword", message, "warning")


def check_output_keywords(source: Source, path: Path, schema: Any) -> None:
    """As `check_keywords`, of a schema that may come in the short form."""
    if spelled_out(schema) is schema:
        check_keywords(source, path, schema)
    else:
        _each(source, path, schema)


def _each(source: Source, path: Path, schemas: Any) -> None:
    for key, schema in schemas.items() if isinstance(schemas, dict) else enumerate(schemas if isinstance(schemas, list) else ()):
        check_keywords(source, (*path, key), schema)
