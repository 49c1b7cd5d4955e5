"""The YAML parser's errors in plain sentences, at their line and column."""

from __future__ import annotations

import re

from agentctl.language.source import Refused

_HALF_QUOTED = re.compile(r"""^[\s-]*[\w-]+:\s+(?:'[^']*'|"[^"\\]*")\s*[^\s#,\]}]""")

BEHIND = "found unexpected ':'"  # what the quick parser says of a plain `a:b` inside { } and [ ], which YAML 1.2 allows

_SENTENCES = (
    (
        "mapping values are not allowed",
        "a ': ' is not allowed here; put a text that contains ': ' in quotes, or check the indentation",
    ),
    ("did not find expected ',' or ']'", "this list is not closed: a ',' or ']' is missing"),
    ("did not find expected ',' or '}'", "this mapping is not closed: a ',' or '}' is missing"),
    ("did not find expected key", "a key was expected here; check the indentation and the quotes of the lines above"),
    ("did not find expected '-' indicator", "a list item '- ' was expected here; check the indentation"),
    ("could not find expected ':'", "a ':' is missing after this key"),
    ("found unexpected end of stream", "a quote is opened and never closed"),
    ("found undefined alias", "this alias refers to no anchor above it"),
    (
        "did not find expected <document start>",
        "this is not a mapping of keys and values; a key is followed by ': ' with a space",
    ),
    ("did not find expected node content", "a value is missing here, or a list or mapping is not closed"),
    (
        "found unknown escape character",
        "this escape is unknown in double quotes; write \\\\ for a backslash, or use single quotes",
    ),
    ("block sequence entries are not allowed", "a list item '- ' cannot begin here; put it on a line of its own"),
    (BEHIND, "a value that holds ':' needs quotes inside { } and [ ]"),
    ("control characters are not allowed", "there is a control character here that YAML does not allow"),
)


def explain(error: Exception, text: str) -> Refused:
    """What to tell about an error of the YAML parser. Re-raises what did not come from it."""
    from ruamel.yaml.error import YAMLError

    if not isinstance(error, YAMLError | UnicodeError | ValueError):
        raise error
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    opened = getattr(error, "context_mark", None)
    if mark is not None:
        place = (mark.line + 1, mark.column + 1)
    else:
        at = getattr(error, "position", None) or 0
        place = (text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    if "cannot start any token" in said:
        line = _line(text, place[0])
        char = line[place[1] - 1 : place[1]]
        if "\t" in (char, line[:1]):
            return Refused(place, "yaml-syntax", "YAML does not take tabs for indentation; use spaces")
        return Refused(place, "yaml-syntax", f"a value cannot begin with {char or 'this'}; put it in quotes")
    line_text = _line(text, place[0])
    if _HALF_QUOTED.search(line_text) and "mapping values" not in said and "not closed" not in said:
        said_better = "a value that begins with a quote ends at the next one; put the whole value in quotes"
        return Refused(place, "yaml-syntax", said_better)
    for begin, sentence in _SENTENCES:
        if said.startswith(begin):
            if opened is not None and opened.line + 1 != place[0]:
                sentence += f" (it begins in line {opened.line + 1})"
                if "not closed" in sentence or "never closed" in sentence:
                    place = (opened.line + 1, opened.column + 1)
                    sentence = sentence.rsplit(" (", 1)[0]
            return Refused(place, "yaml-syntax", sentence)
    return Refused(place, "yaml-syntax", f"this is not valid YAML: {said}")


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number - 1] if number <= len(lines) else ""
