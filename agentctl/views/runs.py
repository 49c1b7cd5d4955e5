"""Runs as rows: the documents of `history`, `run`, `resume` and the commands that change a run. Times in RFC 3339."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentctl import JSON
from agentctl.core.events import Error
from agentctl.core.timestamps import rfc3339
from agentctl.expressions.large import shown
from agentctl.ports import Feedback, RunRow


def timestamp(at: float | None) -> str | None:
    """Format epoch seconds as RFC 3339 UTC with milliseconds: `2026-11-23T15:40:51.123Z`. None stays None."""
    return None if at is None else rfc3339(at)


def error_document(error: Error | None) -> JSON:
    return None if error is None else error.to_json()


def run_document(row: RunRow, *, stalled_since: float | None = None, feedback: Iterable[Feedback] = ()) -> dict[str, JSON]:
    """One run as in `history --json`. `stalled_since`: set when the run makes no progress."""
    return {
        **row.to_json(),
        "stalled_since": timestamp(stalled_since),
        "feedback": [one.to_json() for one in feedback],
    }


def history_document(
    rows: Sequence[RunRow], stalls: Mapping[str, float], feedback: Mapping[str, Sequence[Feedback]]
) -> list[JSON]:
    """The document of `history --json`. `stalls`: run id -> since when it makes no progress.  `feedback`: by run id."""
    return [run_document(row, stalled_since=stalls.get(row.id), feedback=feedback.get(row.id, ())) for row in rows]


def outcome_document(row: RunRow) -> dict[str, JSON]:
    """The answer of `run` and `resume`."""
    return {
        "run_id": row.id,
        "loop": row.name,
        "status": row.status,
        "output": shown(row.output),
        "error": error_document(row.error),
    }


def status_document(row: RunRow) -> dict[str, JSON]:
    """The answer of `cancel`, `approve`, `reject`, `feedback` and `run --detach`."""
    return {"run_id": row.id, "status": row.status}
