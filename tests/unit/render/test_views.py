"""The views for people: history, timeline, progress. Plain text says everything that colour says."""

from __future__ import annotations

from io import StringIO

from agentctl.core.events import (
    AttemptFailed,
    Error,
    RetryScheduled,
    RunCreated,
    RunFinished,
    RunStarted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from agentctl.ports import RunRow
from agentctl.render import history, progress, timeline
from agentctl.views.journal import apply, view
from agentctl.views.run import RunView, input_document
from agentctl.views.steps import JournalView, StepView

BOOM = Error("http.status.500", "boom\nand more", "b", 2)


def row(id: str = "aaaaaaaa1111", **more) -> RunRow:
    given = {"name": "health", "kind": "loop", "version": "v", "status": "succeeded", "created_at": 10.0, **more}
    return RunRow(id=id, **given)


def test_history_is_aligned_and_says_the_status_in_words() -> None:
    rows = [
        row(started_at=10.0, finished_at=12.0, steps_done=2, steps_total=2),
        row("b" * 12, name="a-longer-name", status="failed", error=BOOM),
    ]
    lines = history.format_history(rows, 70.0).splitlines()
    assert lines[0].split()[:3] == ["run", "name", "status"]
    assert lines[1].index("✓ succeeded") == lines[2].index("✗ failed")
    assert "2.0s" in lines[1]
    assert "2/2" in lines[1]
    assert lines[2].endswith("http.status.500: boom")


def test_a_run_under_way_shows_the_time_so_far_and_an_interrupted_one_none() -> None:
    assert history.took(row(status="running", started_at=10.0), 25.0) == "15s…"
    assert history.took(row(status="interrupted", started_at=10.0), 25.0) == ""


def test_short_ids_grow_until_they_tell_runs_apart() -> None:
    assert history.short_ids(["aaaaaaaa1111", "bbbbbbbb1111"])["aaaaaaaa1111"] == "aaaaaaaa"
    assert history.short_ids(["aaaaaaaa1111", "aaaaaaaa2111"])["aaaaaaaa1111"] == "aaaaaaaa1"


def test_a_bar_stands_where_its_step_ran() -> None:
    assert timeline.bar(0.0, 5.0, 0.0, 10.0, 10) == "█████     "
    assert timeline.bar(5.0, 10.0, 0.0, 10.0, 10) == "     █████"
    assert timeline.bar(2.0, 2.5, 0.0, 10.0, 10) == "  ▌       "


def test_a_step_that_took_no_time_still_leaves_a_mark() -> None:
    for at in (0.0, 5.0, 10.0):
        assert timeline.bar(at, at, 0.0, 10.0, 10).strip() == "▏"
    assert len(timeline.bar(3.0, 3.0, 3.0, 3.0, 10)) == 10


def test_show_draws_every_step_and_tells_why_one_failed() -> None:
    steps = [
        StepView("a", "shell", "succeeded", 1, "fine\x1b[2J", started_at=10.0, finished_at=11.0),
        StepView("b", "http", "failed", 2, error=BOOM, started_at=11.0, finished_at=20.0),
        StepView("c", "set", "not_run"),
    ]
    failed = RunView(row=row(status="failed", started_at=10.0, finished_at=20.0, error=BOOM), steps=steps)
    shown = timeline.plain(timeline.show_lines(failed, 30.0))
    assert "status   ✗ failed" in shown
    assert "fine\\x1b[2J" in shown
    assert "2 attempts" in shown
    assert shown.count("http.status.500: boom") == 2
    assert "not run" in shown
    assert shown.endswith("error    at b: http.status.500: boom")


def test_show_prints_inputs_a_parameter_a_line_and_texts_as_they_are() -> None:
    given = {"prompt": "first\nsecond\x1b[2J", "schema": {"a": [1]}}
    steps = [StepView("a", "llm", "succeeded", input=given, started_at=10.0, finished_at=11.0)]
    lines = timeline.plain(timeline.show_lines(RunView(row=row(), steps=steps), 30.0, inputs=True)).splitlines()
    at = next(number for number, line in enumerate(lines) if "prompt" in line)
    assert lines[at : at + 3] == ["      prompt: first", "        second\\x1b[2J", '      schema: {"a":[1]}']
    assert "prompt" not in timeline.plain(timeline.show_lines(RunView(row=row(), steps=steps), 30.0))


def test_the_input_of_a_wait_has_its_time_in_words() -> None:
    step = StepView("nap", "wait", "waiting", input={"due": 0.0})
    assert input_document(step) == {"due": "1970-01-01T00:00:00.000Z"}


def test_a_wait_says_what_it_waits_for() -> None:
    assert timeline.remarks(StepView("w", "wait", "waiting", input={"run": "r2"})) == "waiting for run r2"
    assert timeline.remarks(StepView("w", "wait", "waiting", input={"event": "paid\x1b"})) == "waiting for event paid\\x1b"
    assert timeline.remarks(StepView("w", "approve", "waiting", input={"run": "r2"})) == "waiting"


def events() -> list:
    return [
        RunCreated(at=1.0, run_id="r1", name="health", kind="loop", version="v"),
        RunStarted(at=1.0),
        StepStarted(at=1.0, path="disk"),
        StepSucceeded(at=1.12, path="disk", attempt=1, output="42%"),
        StepSkipped(at=1.2, path="extra"),
        StepStarted(at=1.2, path="assess"),
        AttemptFailed(at=2.0, path="assess", attempt=1, error=BOOM),
        RetryScheduled(at=2.0, path="assess", attempt=2, due=4.0, error=BOOM),
        StepStarted(at=4.0, path="assess", attempt=2),
        AttemptFailed(at=5.0, path="assess", attempt=2, error=BOOM),
        StepFailed(at=5.0, path="assess", error=BOOM),
        RunFinished(at=5.0, status="failed", error=BOOM),
    ]


def test_progress_is_one_line_for_each_end_and_each_retry() -> None:
    seen = JournalView("r1", {})
    lines = []
    for event in events():
        apply(seen, [event])
        lines += progress.progress_lines(seen, [event])
    assert lines == [
        "health  ✓ disk  0.12s",
        "health  - extra  skipped",
        "health  ↻ assess  attempt 2 in 2.0s  http.status.500: boom",
        "health  ✗ assess  3.8s  2 attempts  http.status.500: boom",
        "health  ✗ failed in 4.0s",
    ]


def test_the_picture_counts_down_to_the_next_attempt() -> None:
    picture = timeline.plain(progress.picture([view("r1", None, events()[:8])], 3.0, width=100, height=20))
    assert "attempt 2 in 1.0s" in picture
    assert "42%" in picture


def test_the_picture_fits_its_height_and_keeps_what_moves() -> None:
    seen = JournalView("r1", {}, name="wide")
    for number in range(500):
        apply(seen, [StepStarted(at=1.0, path=f"s{number}"), StepSucceeded(at=1.5, path=f"s{number}")])
    apply(seen, [StepStarted(at=1.0, path="slow"), StepFailed(at=2.0, path="s7", error=BOOM)])
    lines = timeline.plain(progress.picture([seen], 3.0, width=100, height=20)).splitlines()
    assert len(lines) <= 20
    assert any("slow" in line for line in lines)
    assert any(line.startswith("✗   s7") for line in lines)
    assert "more steps, none active" in lines[-1]


def test_the_table_of_runs_fits_into_a_narrow_terminal() -> None:
    from rich.console import Console

    rows = [
        row(name="a-name-that-is-rather-long-for-a-column", status="failed", started_at=10.0, finished_at=12.0, error=BOOM),
        row("b" * 12, started_at=10.0, finished_at=12.0),
    ]
    console = Console(width=80, record=True, file=StringIO())
    console.print(history.history_table(rows, 70.0, width=80))
    lines = console.export_text().splitlines()
    assert max(map(len, (line.rstrip() for line in lines))) <= 80
    assert lines[0].split()[:3] == ["run", "name", "status"]
    assert lines[1].startswith("aaaaaaaa  a-name-t")
    assert "http.status.500: boom" in lines[1]
