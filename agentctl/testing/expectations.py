"""What a case expects against what came of it. Each expectation that does not hold is one failure, at its place in the file."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import msgspec

from agentctl import JSON
from agentctl.expressions.duration import parse_duration
from agentctl.language.cases import Case
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path
from agentctl.paths import matcher, without_rounds
from agentctl.testing.compare import difference, includes, part, same
from agentctl.testing.durations import exact_duration
from agentctl.testing.runner import Played, PlayedStep

TOLERANCE = 1.0  # seconds, of `elapsed`


class Failure(msgspec.Struct, frozen=True):
    """`what`: what was looked at, as `step send: status`.  `message`: several lines.  `expected`, `got`: for machines."""

    file: str
    line: int
    column: int
    what: str
    message: str
    expected: JSON = None
    got: JSON = None


def check(source: Source, case: Case, played: Played) -> list[Failure]:
    """Every expectation of the case that does not hold, in the order of the file."""
    judge = _Judge(source, (*case.at, "expect"))
    judge.run(case.expect, played)
    if not case.expect:
        judge.status("run", (), "succeeded", played.status, played.error)
    for key in ("steps", "order", "elapsed"):
        if key in case.expect:
            getattr(judge, key)(case.expect[key], played)
    for promise in played.broken_promises:
        judge.fail((), "run", promise, None, None)
    return sorted(judge.failures, key=lambda failure: (failure.line, failure.column))


class _Judge:
    def __init__(self, source: Source, at: Path) -> None:
        self._source = source
        self._at = at
        self.failures: list[Failure] = []

    def fail(self, where: Path, what: str, message: str, expected: JSON, got: JSON) -> None:
        line, column = self._source.at((*self._at, *where))
        self.failures.append(Failure(self._source.file, line, column, what, message, expected, got))

    def run(self, expect: dict[str, JSON], played: Played) -> None:
        status = expect.get("status", "failed" if "error" in expect else "succeeded")
        if expect:
            where = ("status",) if "status" in expect else ("error",) if "error" in expect else ()
            self.status("run", where, status, played.status, played.error)
        self.values("run", (), expect, "output", played.output)
        if "error" in expect:
            self.error("run", ("error",), expect["error"], played.error)

    def status(self, what: str, where: Path, expected: str, got: str, error: dict[str, JSON] | None) -> None:
        if expected != got:
            because = f"\nbecause   {error['type']}: {_first_line(error['message'])}" if error and got != "succeeded" else ""
            self.fail(where, f"{what}: status", f"expected  {expected}\ngot       {got}{because}", expected, got)

    def values(self, what: str, where: Path, expect: dict[str, JSON], key: str, got: JSON) -> None:
        """`output` and `output_includes`, `input` and `input_includes`."""
        if key in expect and not same(expect[key], got):
            self.fail((*where, key), f"{what}: {key}", difference(expect[key], got), expect[key], got)
        wanted = expect.get(f"{key}_includes")
        if f"{key}_includes" in expect and not includes(wanted, got):
            shown = part(wanted, got)
            self.fail((*where, f"{key}_includes"), f"{what}: {key}_includes", difference(wanted, shown), wanted, shown)

    def error(self, what: str, where: Path, expected: JSON, got: dict[str, JSON] | None) -> None:
        wanted = {"type": expected} if isinstance(expected, str) else expected
        if got is None:
            self.fail(where, f"{what}: error", f"expected  {wanted.get('type', 'an error')}\ngot       no error", wanted, None)
            return
        fits = {
            "type": lambda: fnmatchcase(got["type"], wanted["type"]),
            "message": lambda: wanted["message"] in got["message"],
            "step": lambda: bool(matcher(wanted["step"])(got.get("step") or "")),
            "data": lambda: includes(wanted["data"], got.get("data")),
        }
        for key in wanted:
            if not fits[key]():
                place = where if isinstance(expected, str) else (*where, key)
                self.fail(place, f"{what}: error {key}", difference(wanted[key], got.get(key)), wanted[key], got.get(key))

    # --- steps -----------------------------------------------------------------------------------------------------

    def steps(self, expect: dict[str, JSON], played: Played) -> None:
        for path, given in expect.items():
            wanted: dict[str, JSON] = {"status": given} if isinstance(given, str) else given
            found = _matching(played, path)
            where: Path = ("steps", path)
            if "runs" in wanted:
                runs = sum(step.runs for other, step in played.steps.items() if matcher(path)(other))
                self.count(path, "runs", wanted["runs"], runs)
            if not found:
                found = {path: PlayedStep("not_run", None, None, 0, 0, None)}
            for name, step in found.items():
                if "status" in wanted:
                    place = where if isinstance(given, str) else (*where, "status")
                    self.status(f"step {name}", place, wanted["status"], step.status, step.error)
                self.values(f"step {name}", where, wanted, "output", step.output)
                self.values(f"step {name}", where, wanted, "input", step.input)
                if "error" in wanted:
                    self.error(f"step {name}", (*where, "error"), wanted["error"], step.error)
                if "calls" in wanted and list(step.calls) != wanted["calls"]:
                    expected, got = wanted["calls"], list(step.calls)
                    message = f"expected  {', '.join(expected) or 'none'}\ngot       {', '.join(got) or 'none'}"
                    self.fail((*where, "calls"), f"step {name}: calls", message, expected, got)
                if "attempts" in wanted and wanted["attempts"] != step.attempts:
                    self.count(path, "attempts", wanted["attempts"], step.attempts)

    def count(self, path: str, key: str, expected: int, got: int) -> None:
        if expected != got:
            self.fail(("steps", path, key), f"step {path}: {key}", f"expected  {expected}\ngot       {got}", expected, got)

    def order(self, expect: list[str], played: Played) -> None:
        rest = iter(played.order)
        for index, path in enumerate(expect):
            if not any(matcher(path)(began) for began in rest):
                before = f" after {expect[index - 1]}" if index else ""
                got = played.order if len(played.order) <= 40 else [*played.order[:40], "..."]
                message = f"expected  {path} to begin{before}\ngot       {', '.join(got) or 'no step at all'}"
                self.fail(("order", index), "order", message, expect, got)
                return

    def elapsed(self, expect: JSON, played: Played) -> None:
        given = {"exactly": expect} if isinstance(expect, str) else expect
        tolerance = parse_duration(given["tolerance"]) if "tolerance" in given else TOLERANCE
        got = played.elapsed
        limits: dict[str, tuple[str, Callable[[float], bool]]] = {
            "exactly": ("", lambda limit: abs(got - limit) <= tolerance),
            "min": ("at least ", lambda limit: got >= limit),
            "max": ("at most ", lambda limit: got <= limit),
        }
        for key, (words, holds) in limits.items():
            if key in given and not holds(parse_duration(given[key])):
                where: Path = ("elapsed",) if isinstance(expect, str) else ("elapsed", key)
                message = f"expected  {words}{given[key]}\ngot       {exact_duration(got)}"
                self.fail(where, "elapsed", message, given[key], got)


def _matching(played: Played, path: str) -> dict[str, PlayedStep]:
    """The steps that a path fits; of several rounds of one step, the last."""
    fits = matcher(path)
    return {(other if "@" in path else without_rounds(other)): step for other, step in played.steps.items() if fits(other)}


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0][:200]
