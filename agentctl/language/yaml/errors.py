"""The YAML parser's errors in plain sentences, at their line and column."""

from __future__ import annotations

import re

from agentctl.language.yaml.tree import Place

_HALF_QUOTED = re.compile(r"""^[\s-]*[\w-]+:\s+(?:'[^']*'|"[^"\\]*")\s*[^\s#,\]}]""")

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
    ("found unexpected ':'", "a value that holds ':' needs quotes inside { } and [ ]"),
    ("control characters are not allowed", "there is a control character here that YAML does not allow"),
)


class Refused(Exception):
    """This file cannot be read any further: the one problem that says why."""

    def __init__(self, place: Place, code: str, message: str) -> None:
        super().__init__(message)
        self.place, self.code, self.message = place, code, message


def explain(error: Exception, text: str) -> Refused:
    """Return the problem to report for an error of the YAML parser. Re-raises what did not come from it."""
    from ruamel.yaml.error import YAMLError

    if not isinstance(error, YAMLError | UnicodeError | ValueError):
        raise error
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    opened = getattr(error, "context_mark", None)
    if mark is not None:
        place = (mark.line + 1, mark.column + 1)
    else:
        at = getattr(error, "position", None) or 0
        place = (text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    return _refused(reason, place, (opened.line + 1, opened.column + 1) if opened is not None else place, text)


def _refused(reason: str, place: Place, opened: Place, text: str) -> Refused:
    """`reason`: the parser's words.  `opened`: where what it was reading begins."""
    line = _line(text, place[0])
    if "cannot start any token" in reason:
        char = line[place[1] - 1 : place[1]]
        if "\t" in (char, line[:1]):
            return Refused(place, "yaml-syntax", "YAML does not take tabs for indentation; use spaces")
        return Refused(place, "yaml-syntax", f"a value cannot begin with {char or 'this'}; put it in quotes")
    if _HALF_QUOTED.search(line) and "mapping values" not in reason and "not closed" not in reason:
        half_quoted = "a value that begins with a quote ends at the next one; put the whole value in quotes"
        return Refused(place, "yaml-syntax", half_quoted)
    sentence = next((sentence for begin, sentence in _SENTENCES if reason.startswith(begin)), None)
    if sentence is None:
        return Refused(place, "yaml-syntax", f"this is not valid YAML: {reason}")
    if opened[0] == place[0]:
        return Refused(place, "yaml-syntax", sentence)
    if "not closed" in sentence or "never closed" in sentence:
        return Refused(opened, "yaml-syntax", sentence)
    return Refused(place, "yaml-syntax", f"{sentence} (it begins in line {opened[0]})")


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number - 1] if number <= len(lines) else ""
