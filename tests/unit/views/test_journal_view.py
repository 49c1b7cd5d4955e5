"""What people see is folded from the journal, event by event."""

from __future__ import annotations

from agentctl.core.events import (
    AttemptFailed,
    BlockFinished,
    BlockStarted,
    Error,
    RetryScheduled,
    RunCreated,
    RunFinished,
    RunResumed,
    RunStarted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    Usage,
)
from agentctl.core.graph import action_names
from agentctl.expressions.template import Template
from agentctl.model import Definition, Foreach, Step, Task
from agentctl.paths import declared_path, parent_path
from agentctl.views.journal import apply, view
from agentctl.views.steps import JournalView, tree_order

BOOM = Error("http.status.500", "boom")


def folded(*events) -> JournalView:
    return view("r1", None, [RunCreated(at=1.0, run_id="r1", name="demo", kind="loop", version="v"), RunStarted(at=2.0), *events])


def task(id: str, uses: str = "set", **more) -> Step:
    return Step(id=id, action=Task(uses=uses, params=Template({}, "{}")), uses=uses, **more)


def test_a_step_that_succeeds_has_its_output_times_and_usage() -> None:
    step = folded(StepStarted(at=3.0, path="a"), StepSucceeded(at=5.0, path="a", attempt=1, output=7, usage=Usage(1, 2))).steps[
        "a"
    ]
    assert (step.status, step.output, step.started_at, step.finished_at, step.usage) == ("succeeded", 7, 3.0, 5.0, Usage(1, 2))


def test_a_failed_attempt_leads_to_a_countdown_and_a_second_attempt() -> None:
    seen = folded(
        StepStarted(at=3.0, path="a"),
        AttemptFailed(at=4.0, path="a", attempt=1, error=BOOM),
        RetryScheduled(at=4.0, path="a", attempt=2, due=9.0, error=BOOM),
    )
    assert (seen.steps["a"].status, seen.steps["a"].due, seen.steps["a"].error) == (
        "retrying",
        9.0,
        Error("http.status.500", "boom", "a", 1),
    )
    apply(seen, [StepStarted(at=9.0, path="a", attempt=2)])
    assert (seen.steps["a"].status, seen.steps["a"].attempts, seen.steps["a"].due) == ("running", 2, None)
    assert seen.steps["a"].started_at == 3.0


def test_the_input_is_that_of_the_first_attempt_which_later_ones_use_without_repeating_it() -> None:
    seen = folded(
        StepStarted(at=3.0, path="a", input={"x": 1}),
        AttemptFailed(at=4.0, path="a", attempt=1, error=BOOM),
        RetryScheduled(at=4.0, path="a", attempt=2, due=9.0, error=BOOM),
        StepStarted(at=9.0, path="a", attempt=2),
    )
    assert seen.steps["a"].input == {"x": 1}


def test_usage_of_failed_attempts_counts() -> None:
    seen = folded(
        StepStarted(at=3.0, path="a"),
        AttemptFailed(at=4.0, path="a", attempt=1, error=BOOM, usage=Usage(10, 1, usd=0.5)),
        StepStarted(at=5.0, path="a", attempt=2),
        StepSucceeded(at=6.0, path="a", attempt=2, usage=Usage(20, 2, usd=0.25)),
    )
    assert seen.steps["a"].usage == Usage(30, 3, usd=0.75)


def test_items_of_a_foreach_appear_with_their_first_step_and_end_with_their_block() -> None:
    seen = folded(
        StepStarted(at=3.0, path="each"),
        StepStarted(at=3.5, path="each[0].probe"),
        StepSucceeded(at=4.0, path="each[0].probe"),
        BlockFinished(at=4.0, path="each[0]", output=1),
    )
    item = seen.steps["each[0]"]
    assert (item.block, item.status, item.started_at, item.finished_at) == (True, "succeeded", 3.5, 4.0)


def test_a_fallback_ends_with_the_step_it_saves() -> None:
    seen = folded(
        StepStarted(at=3.0, path="a"),
        AttemptFailed(at=4.0, path="a", attempt=1, error=BOOM),
        BlockStarted(at=4.0, path="a.fallback", role="fallback", owner="a"),
        StepStarted(at=4.0, path="a.fallback.rule"),
        StepSucceeded(at=5.0, path="a.fallback.rule", output=1),
        StepSucceeded(at=5.0, path="a", output=1, status="recovered"),
    )
    assert seen.steps["a"].status == "recovered"
    assert seen.steps["a"].error == Error("http.status.500", "boom", "a", 1)
    assert (seen.steps["a.fallback"].status, seen.steps["a.fallback"].finished_at) == ("succeeded", 5.0)


def test_a_resumed_run_forgets_what_failed_and_keeps_what_finished() -> None:
    seen = folded(
        StepStarted(at=3.0, path="a"),
        StepSucceeded(at=4.0, path="a", output=1),
        StepStarted(at=4.0, path="b"),
        StepFailed(at=5.0, path="b", error=BOOM),
        RunFinished(at=5.0, status="failed", error=BOOM),
    )
    assert (seen.status, seen.finished_at) == ("failed", 5.0)
    apply(seen, [RunResumed(at=6.0)])
    assert (seen.status, seen.finished_at) == ("running", None)
    assert (seen.steps["a"].status, seen.steps["b"].status, seen.steps["b"].error) == ("succeeded", "pending", None)


def test_skipped_steps_take_no_time() -> None:
    step = folded(StepSkipped(at=3.0, path="a")).steps["a"]
    assert (step.status, step.started_at) == ("skipped", None)


def test_the_runs_own_steps_are_listed_before_they_start() -> None:
    seen = view("r1", Definition(kind="loop", name="demo", steps=(task("a"), task("b", "shell"))), [])
    assert [(step.path, step.action, step.status) for step in seen.steps.values()] == [
        ("a", "set", "pending"),
        ("b", "shell", "pending"),
    ]


def test_every_step_of_a_definition_has_its_action_by_pattern() -> None:
    each = Step(id="each", action=Foreach(items=Template([], "[]"), steps=(task("probe", "http"),)), uses="foreach")
    saved = task("assess", "llm", fallback=(task("rule"),), undo=task("revert", "shell"))
    found = action_names(Definition(kind="loop", name="demo", steps=(each, saved), on_failure=(task("notify", "http"),)))
    assert found == {
        "each": "foreach",
        "each.probe": "http",
        "assess": "llm",
        "assess.fallback.rule": "set",
        "assess.undo": "shell",
        "on_failure.notify": "http",
    }


def test_numbers_of_items_and_rounds_are_no_part_of_a_pattern() -> None:
    assert declared_path("each[2].group@3.step") == "each.group.step"


def test_the_parents_of_a_path_lead_up_to_the_run() -> None:
    path, seen = "on_failure@2.each[10].probe", []
    while path:
        path = parent_path(path)
        seen.append(path)
    assert seen == ["on_failure@2.each[10]", "on_failure@2.each", "on_failure@2", "on_failure", ""]


def test_paths_are_drawn_under_the_nearest_one_that_holds_them() -> None:
    ordered = tree_order(["each", "after", "each[0].probe", "each[1]", "each[1].probe"])
    assert ordered == [
        (0, "each", "each"),
        (1, "each[0].probe", "[0].probe"),
        (1, "each[1]", "[1]"),
        (2, "each[1].probe", "probe"),
        (0, "after", "after"),
    ]
