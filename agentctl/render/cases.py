"""What `agentctl test` shows: a line per case as it ends, then each failure with the place of its expectation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentctl.expressions.duration import format_duration
from agentctl.render.text import cut, size, visible

_STEPS = 12  # named below a failure
_WIDEST = 240


def case_line(verdict: Any) -> str:
    """`tests/a.test.yaml::a sentence PASSED (4 ms; 3d of virtual time)`. `verdict`: see `testing.suite`."""
    word = "PASSED" if not verdict.failures else "FAILED"
    facts = [f"{max(1, round(verdict.seconds * 1000))} ms"]
    if verdict.elapsed:
        facts.append(f"{format_duration(verdict.elapsed)} of virtual time")
    if verdict.crashes:
        facts.append(f"{verdict.crashes:,} crash{'es' if verdict.crashes > 1 else ''}")
    return f"{verdict.file}::{visible(verdict.case)} {word} ({'; '.join(facts)})"


def failure_block(verdict: Any) -> str:
    """Return every failure of a case: `file:line:column: what`, and below it the expected and the actual value."""
    lines = [f"{verdict.file}::{visible(verdict.case)}"]
    for failure in verdict.failures:
        lines.append(f"  {failure.file}:{failure.line}:{failure.column}: {visible(failure.what)}")
        lines += [f"      {cut(visible(line), _WIDEST)}" for line in failure.message.split("\n")]
    if verdict.steps:
        named = [f"{path} {status}{f' (ran {runs} times)' if runs > 1 else ''}" for path, status, runs in verdict.steps]
        more = f", and {len(named) - _STEPS} more" if len(named) > _STEPS else ""
        lines.append(f"  steps: {', '.join(named[:_STEPS])}{more}")
    return "\n".join(lines)


def totals(verdicts: Sequence[Any], invalid: int, seconds: float) -> str:
    """Return `3 passed, 1 failed in 0.2s`."""
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    parts = [f"{len(verdicts) - failed} passed"]
    if failed:
        parts.append(f"{failed} failed")
    if invalid:
        parts.append(f"{size(invalid, 'file')} invalid")
    return f"{', '.join(parts)} in {format_duration(seconds)}"
