"""The JSON documents have exactly the keys of docs/commands.md."""

from __future__ import annotations

from agentctl.core.events import Error, Parent, RetryScheduled, RunStarted, Usage
from agentctl.core.resume import Intent
from agentctl.ports import RunRow
from agentctl.views.plan import plan_document
from agentctl.views.run import RunView, event_document, show_document
from agentctl.views.runs import outcome_document, run_document, status_document, timestamp
from agentctl.views.steps import StepView

ROW = RunRow(
    id="abc",
    name="health",
    kind="loop",
    version="v1",
    status="failed",
    created_at=1795448451.0,
    started_at=1795448451.5,
    finished_at=1795448453.0,
    parent=Parent("def", "call"),
    usage=Usage(1, 2, usd=0.5, model="m", latency_ms=3),
    error=Error("timeout", "too slow", "a", 2),
    input={"x": 1},
    output="o",
)


def test_a_run_document_is_complete() -> None:
    assert run_document(ROW) == {
        "run_id": "abc",
        "loop": "health",
        "kind": "loop",
        "version": "v1",
        "status": "failed",
        "trigger": "manual",
        "parent": {"run_id": "def", "path": "call"},
        "created_at": "2026-11-23T15:40:51.000Z",
        "started_at": "2026-11-23T15:40:51.500Z",
        "finished_at": "2026-11-23T15:40:53.000Z",
        "duration_ms": 1500,
        "steps_done": 0,
        "steps_total": 0,
        "usage": {"input_tokens": 1, "output_tokens": 2, "usd": 0.5, "model": "m", "cached_tokens": 0},
        "error": {"type": "timeout", "message": "too slow", "step": "a", "attempts": 2, "data": None},
        "stalled_since": None,
        "feedback": [],
    }


def test_a_run_that_makes_no_progress_says_since_when() -> None:
    assert run_document(ROW, stalled_since=1795448451.5)["stalled_since"] == "2026-11-23T15:40:51.500Z"


def test_show_adds_input_output_and_event_to_the_run() -> None:
    shown = show_document(RunView(row=ROW, steps=[StepView("a", "shell")], events=[RunStarted(at=1795448451.5)]))
    assert {key: shown["run"][key] for key in ("input", "output", "event")} == {"input": {"x": 1}, "output": "o", "event": None}
    assert shown["steps"] == [
        {
            "path": "a",
            "action": "shell",
            "status": "pending",
            "attempts": 0,
            "input": None,
            "output": None,
            "error": None,
            "started_at": None,
            "finished_at": None,
            "usage": None,
            "source": None,
            "waits_for": None,
        }
    ]
    assert shown["events"] == [{"seq": 1, "at": "2026-11-23T15:40:51.500Z", "type": "RunStarted", "path": None}]


def test_times_inside_events_are_rfc_3339_too() -> None:
    event = RetryScheduled(at=1795448451.0, path="a", attempt=2, due=1795448452.25, error=Error("timeout", "slow"))
    assert event_document(4, event) == {
        "seq": 4,
        "at": "2026-11-23T15:40:51.000Z",
        "type": "RetryScheduled",
        "path": "a",
        "attempt": 2,
        "due": "2026-11-23T15:40:52.250Z",
        "error": {"type": "timeout", "message": "slow"},
    }


def test_run_and_resume_answer_with_the_outcome() -> None:
    assert list(outcome_document(ROW)) == ["run_id", "loop", "status", "output", "error"]
    assert status_document(ROW) == {"run_id": "abc", "status": "failed"}


def test_a_planned_step_has_path_action_and_reason() -> None:
    assert plan_document([Intent("a", "reuse", "succeeded")]) == [{"path": "a", "action": "reuse", "reason": "succeeded"}]


def test_timestamps_are_rfc_3339_in_utc_with_milliseconds() -> None:
    assert timestamp(1795448451.1234) == "2026-11-23T15:40:51.123Z"
    assert timestamp(1795448451.9996) == "2026-11-23T15:40:52.000Z"
    assert timestamp(None) is None
