"""A `*.test.yaml` file -> its cases, with places. What a case means to a definition is checked where the definition is known.

The keys of a case may also stand at the top of the file, for all its cases (but for `case`, `expect` and what happens during
a run): mappings are joined key by key, and the case's own win.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from agentctl import JSON, spec
from agentctl.expressions.duration import parse_duration
from agentctl.language.check.shape import validate
from agentctl.language.problems import Problem, in_order
from agentctl.language.project.project import TEST_SUFFIXES
from agentctl.language.yaml.reader import Source, read_file
from agentctl.language.yaml.tree import Path, Place

SUFFIX = TEST_SUFFIXES[0]  # of a file that is written
_ENDS = frozenset({"output", "error", "calls", "answer"})
_JOINED = ("input", "vars", "secrets", "state", "mocks")


@lru_cache(1)
def schema() -> dict[str, Any]:
    """JSON Schema draft 2020-12 of a test file. Callers must not change it."""
    text = (files("agentctl.language") / "cases.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    allowed = [name for name, action in spec.actions().items() if action.can_be_allowed]
    loaded["$defs"]["allow"]["items"] = {"enum": allowed}
    return loaded


@dataclass(frozen=True)
class Outcome:
    """What one attempt of a mocked step comes to. `error`: {type, message, data}, None when it succeeds; times in seconds.

    `turn`: of a turn of an agent, {calls, answer, text} as written.
    """

    output: JSON = None
    error: dict[str, JSON] | None = None
    usage: dict[str, JSON] | None = None
    takes: float = 0.0
    retry_after: float | None = None
    turn: dict[str, JSON] | None = None


@dataclass(frozen=True)
class Mock:
    """`outcomes`: for one attempt after the other; the last one stays.  `at`: where it stands in the file."""

    path: str
    outcomes: tuple[Outcome, ...]
    at: Path


@dataclass(frozen=True)
class Happening:
    """Something that comes from outside. `at`: seconds from the run's start; None: as soon as it is asked for.

    `written`: the mapping as written.
    """

    at: float | None
    written: dict[str, JSON]
    place: Place


@dataclass(frozen=True)
class Case:
    """One run to play and what is expected of it. `at`: its path in the file.  `secrets`: None when every secret exists."""

    name: str
    at: Path
    input: dict[str, JSON]
    event: dict[str, JSON] | None
    vars: dict[str, JSON]
    secrets: dict[str, str] | None
    state: dict[str, JSON]
    start: str | None
    allow: frozenset[str]
    mocks: tuple[Mock, ...]
    events: tuple[Happening, ...]
    approvals: tuple[Happening, ...]
    resolve: tuple[Happening, ...]
    cancel: Happening | None
    expect: dict[str, JSON]


@dataclass
class CaseFile:
    """`cases` is empty when the file has problems."""

    source: Source
    definition: str = ""
    cases: list[Case] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        return in_order(self.source.problems)


def read_cases(path: FilePath, shown: str | None = None) -> CaseFile:
    """Never raises for what is in the file: it is in `problems`. `shown`: the file's name in them."""
    source = read_file(path, shown)
    found = CaseFile(source)
    if source.root is None:
        return found
    if not isinstance(source.data, dict):
        source.report((1, 1), "wrong-type", "a test file is a mapping that begins with 'test: NAME' and has a list of 'cases'")
        return found
    validate(source, schema)
    _check(source)
    if not source.problems:
        found.definition = source.data["test"]
        found.cases = [_case(source, index) for index in range(len(source.data["cases"]))]
    return found


def _check(source: Source) -> None:
    """What a schema cannot say in plain words."""
    names: dict[str, Path] = {}
    cases = source.data.get("cases")
    for index, case in enumerate(cases if isinstance(cases, list) else ()):
        at: Path = ("cases", index)
        name = case.get("case") if isinstance(case, dict) else None
        if isinstance(name, str) and name in names:
            line = source.at((*names[name], "case"))[0]
            source.report(source.at((*at, "case")), "duplicate-id", f"two cases are called '{name}'; the first is in line {line}")
        elif isinstance(name, str):
            names[name] = at
        _check_mocks(source, (*at, "mocks"), case.get("mocks") if isinstance(case, dict) else None)
    _check_mocks(source, ("mocks",), source.data.get("mocks"))


def _check_mocks(source: Source, at: Path, mocks: JSON) -> None:
    for path, written in mocks.items() if isinstance(mocks, dict) else ():
        for number, outcome in enumerate(written if isinstance(written, list) else [written]):
            if isinstance(outcome, dict) and len(_ENDS.intersection(outcome)) > 1:
                last = [key for key in outcome if key in _ENDS][-1]
                here = (*at, path, number, last) if isinstance(written, list) else (*at, path, last)
                message = "an attempt comes to one thing: an output, an error, calls or an answer"
                source.report(source.at(here), "wrong-value", message)


def _case(source: Source, index: int) -> Case:
    shared, own, at = source.data, source.data["cases"][index], ("cases", index)
    joined = {key: {**(shared.get(key) or {}), **(own.get(key) or {})} for key in _JOINED}
    has_secrets = "secrets" in shared or "secrets" in own
    return Case(
        name=own["case"],
        at=at,
        input=joined["input"],
        event=own.get("event", shared.get("event")),
        vars=joined["vars"],
        secrets=joined["secrets"] if has_secrets else None,
        state=joined["state"],
        start=own.get("start", shared.get("start")),
        allow=frozenset(own.get("allow", shared.get("allow", ()))),
        mocks=tuple(
            _mock(path, written, (*at, "mocks", path) if path in (own.get("mocks") or {}) else ("mocks", path))
            for path, written in joined["mocks"].items()
        ),
        events=_happenings(source, (*at, "events"), own.get("events"), 0.0),
        approvals=_happenings(source, (*at, "approvals"), own.get("approvals"), None),
        resolve=_happenings(source, (*at, "resolve"), own.get("resolve"), None),
        cancel=_cancel(source, (*at, "cancel"), own.get("cancel")),
        expect=own.get("expect", {}),
    )


def _mock(path: str, written: JSON, at: Path) -> Mock:
    outcomes = written if isinstance(written, list) else [written]
    return Mock(path, tuple(_outcome(outcome) for outcome in outcomes), at)


def _outcome(written: dict[str, JSON]) -> Outcome:
    error = written.get("error")
    return Outcome(
        output=written.get("output"),
        error={"type": error} if isinstance(error, str) else error,
        usage=written.get("usage"),
        takes=parse_duration(written.get("takes", "0s")),
        retry_after=parse_duration(written["retry_after"]) if "retry_after" in written else None,
        turn={key: written[key] for key in ("calls", "answer", "text") if key in written} or None,
    )


def _happenings(source: Source, at: Path, written: list[dict[str, JSON]] | None, default: float | None) -> tuple[Happening, ...]:
    return tuple(
        Happening(parse_duration(one["at"]) if "at" in one else default, one, source.at((*at, index)))
        for index, one in enumerate(written or ())
    )


def _cancel(source: Source, at: Path, written: JSON) -> Happening | None:
    if written is None:
        return None
    words = {"at": written} if isinstance(written, str) else written
    return Happening(parse_duration(words["at"]), words, source.at(at))
