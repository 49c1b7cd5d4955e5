"""The table of filters: names -> functions `(value, *args, **kwargs) -> JSON`.

Jinja's pure ones (docs: https://jinja.palletsprojects.com/templates/#builtin-filters), with JSON where it has Python: texts
are made by compact JSON rather than `str()`, lists stand for tuples and generators, attributes are keys of mappings. `default`,
`map`, `select`, `reject`, `selectattr` and `rejectattr` are ops of the tree (see `tree`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.expressions import filters_list, filters_number, filters_own, filters_text

FILTERS: dict[str, Callable[..., Any]] = {
    "abs": filters_number.absolute,
    "batch": filters_list.batch,
    "capitalize": filters_text.capitalize,
    "center": filters_text.center,
    "count": filters_list.length,
    "date": filters_own.date,
    "dictsort": filters_list.dictsort,
    "duration": filters_own.duration,
    "filesizeformat": filters_number.filesizeformat,
    "first": filters_list.first,
    "float": filters_number.floating,
    "format": filters_text.format,
    "fromjson": filters_list.fromjson,
    "groupby": filters_list.groupby,
    "indent": filters_text.indent,
    "int": filters_number.integer,
    "items": filters_list.items,
    "join": filters_list.join,
    "last": filters_list.last,
    "length": filters_list.length,
    "list": filters_list.listed,
    "lower": filters_text.lower,
    "max": filters_list.largest,
    "min": filters_list.smallest,
    "regex_replace": filters_own.regex_replace,
    "regex_search": filters_own.regex_search,
    "replace": filters_text.replace,
    "reverse": filters_list.reverse,
    "round": filters_number.rounded,
    "sha256": filters_own.sha256,
    "slice": filters_list.slices,
    "sort": filters_list.sort,
    "string": filters_text.string,
    "sum": filters_list.total,
    "title": filters_text.title,
    "tojson": filters_list.tojson,
    "trim": filters_text.trim,
    "truncate": filters_text.truncate,
    "unique": filters_list.unique,
    "upper": filters_text.upper,
    "urlencode": filters_text.urlencode,
    "wordcount": filters_text.wordcount,
    "wordwrap": filters_text.wordwrap,
}

# Filters of Jinja that are left out, and why.
LEFT_OUT = {
    "random": "an expression gives the same value each time it is evaluated",
    "attr": "write value.key or value['key']",
    "pprint": "use tojson",
    **dict.fromkeys(("e", "escape", "forceescape", "safe", "striptags", "urlize", "xmlattr"), "expressions make no markup"),
}
