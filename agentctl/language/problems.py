"""What is wrong with a file, where, and what was probably meant. Every code that can appear is in `CODES`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["error", "warning"]

CODES: dict[str, str] = {
    "alias": "A YAML alias names no anchor, or contains itself.",
    "bad-cron": "A cron expression is no alias such as @daily and not five fields that can ever come true.",
    "bad-default": "The default of an input does not fit the input's own schema.",
    "bad-duration": "A duration is not of the form 30s, 5m, 1h30m or PT90S.",
    "bad-event-name": "An event cannot have that name, or none can ever match it.",
    "bad-id": "A step id has other characters than a-z, 0-9 and _.",
    "bad-name": "The name of a definition has other characters than a-z, 0-9 and -.",
    "bad-schema": "A JSON Schema inside the file is not a valid one.",
    "bad-size": "A size is not a number of bytes and not of the form 512KiB or 10MiB.",
    "bad-time": "A time is not of the form 2026-11-23T09:30:00Z, or lies outside the years 1 to 9999.",
    "bad-time-zone": "A time zone is not in the time zone database.",
    "bare-expression": "A text looks like an expression that is missing its ${{ }}.",
    "cron-step": "A step in a cron expression is longer than its range, so it names one value alone.",
    "cycle": "Steps wait for each other in a circle, or a step refers to one that runs after it.",
    "duplicate-id": "Two steps of one list have the same id, or two cases of a test file the same name.",
    "duplicate-key": "A mapping has the same key twice, or a step has one both beside 'shell' and inside it.",
    "empty": "The file holds no definition.",
    "expression": "An expression cannot be read.",
    "expression-here": "An expression stands where only a fixed value is possible.",
    "input-default-missing": "A schedule starts the definition, but an input has no default to start it with.",
    "invalid-definition": "A test file is for a definition that has problems of its own.",
    "misplaced-key": "A key stands beside an action it has no meaning for.",
    "missing-default": "A field of a form has no default, though nobody may be there to fill it in.",
    "missing-key": "A key that is needed is missing.",
    "name-taken": "Another file of the project has a definition of the same name.",
    "no-action": "A step does nothing: it has no action.",
    "not-supported": "The language has it, but this version of agentctl cannot run it.",
    "not-text": "The file is binary or is not UTF-8.",
    "out-of-scope": "A name is used where it has no value.",
    "own-event": "A step sends the event that starts its own definition.",
    "permission.denied": "A step does what the definition's `permissions` do not allow.",
    "script-template": "An expression stands inside a script, where a value could be run as code.",
    "secret-argument": "A secret is an argument of a process, which every user of the host can see.",
    "secret-here": "A secret is used outside the step that needs it, or for more than to be inserted.",
    "self-call": "A skill calls itself with nothing that could end it.",
    "skill-argument": "A skill is called with an input it does not declare, or without one it needs.",
    "too-large": "The file is over the limits on bytes, nodes, depth or numbers.",
    "two-actions": "A step has more than one action.",
    "unknown-definition": "A test file names a definition that does not exist.",
    "unknown-input": "An expression or a trigger names an input that is not declared.",
    "unknown-key": "A key that the language does not know.",
    "unknown-keyword": "A JSON Schema inside the file has a keyword that there is none of, and that looks like one there is.",
    "unknown-name": "An expression uses a name that does not exist.",
    "unknown-skill": "A skill is called that the project does not have.",
    "unknown-step": "A step is named that does not exist.",
    "unknown-var": "An expression uses a variable that the project file does not set.",
    "unreadable": "The file cannot be read.",
    "wrong-input": "A test case gives a definition an input that it does not take.",
    "wrong-type": "A value is of another type than the key takes.",
    "wrong-value": "A value is not one of those the key takes.",
    "yaml-syntax": "The text is not YAML.",
    "yaml-unsupported": "YAML that the language does not take: tags, several documents, keys that are not text.",
}


class Problem(msgspec.Struct, frozen=True):
    """One finding. `line` and `column` count from 1; `code` is a key of `CODES`."""

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}]: {self.message}"


def format_problem(problem: Problem, text: str) -> str:
    """The problem, the line of `text` (the whole file's) it is on, and a caret under its column; plain text."""
    lines = text.splitlines()
    if not 1 <= problem.line <= len(lines):
        return str(problem)
    source = lines[problem.line - 1]
    margin = f"{problem.line:>5} | "
    # Tabs are kept so that the caret stands under its character on any terminal.
    indent = "".join("\t" if char == "\t" else " " for char in source[: problem.column - 1])
    return f"{problem}\n{margin}{source}\n{' ' * (len(margin) - 2)}| {indent}^"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by place, each only once."""
    return sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.column, problem.code))
