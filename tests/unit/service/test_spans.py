"""A journal, folded into spans: who lies under whom, what is told, and that it is the same wherever the fold begins."""

from __future__ import annotations

from agentctl.core.events import (
    AttemptFailed,
    ChildFinished,
    Error,
    OutcomeUnknown,
    ResultFound,
    RunFinished,
    RunRecovered,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepFailed,
    StepKeyed,
    StepStarted,
    StepSucceeded,
    Usage,
)
from agentctl.telemetry.genai import call_attributes
from agentctl.telemetry.spans import RunSpans, trace_id

ACTIONS = {"ask": "llm", "each": "foreach", "each.probe": "shell", "call": "skill", "on_failure.tell": "shell"}
SECRET = "s3cret"
FAILED = Error("shell.exit", f"it said {SECRET}", data={"stderr": SECRET})


def run(above: int | None = None) -> RunSpans:
    return RunSpans("r1", "demo", {"agentctl.run.id": "r1"}, ACTIONS, above)


def ended(events, spans: RunSpans | None = None):
    return {span.attributes.get("agentctl.step.path", "run"): span for span in (spans or run()).feed(events)}


STORY = [
    RunStarted(at=1.0),
    StepStarted(at=2.0, path="each", input=[SECRET]),
    StepStarted(at=2.0, path="each[0].probe", input={"run": SECRET}),
    AttemptFailed(at=3.0, path="each[0].probe", attempt=1, error=FAILED),
    StepStarted(at=4.0, path="each[0].probe", attempt=2),
    StepSucceeded(at=5.0, path="each[0].probe", attempt=2, output=SECRET),
    StepSucceeded(at=6.0, path="each", output=[SECRET]),
    StepStarted(at=6.0, path="call", input={"a": SECRET}, child="r2"),
    ChildFinished(at=7.0, path="call", run_id="r2", status="failed", error=FAILED),
    AttemptFailed(at=7.0, path="call", attempt=1, error=FAILED),
    StepFailed(at=7.0, path="call", error=FAILED),
    StepStarted(at=7.0, path="on_failure.tell", input=SECRET),
    StepSucceeded(at=8.0, path="on_failure.tell", output=SECRET),
    RunFinished(at=9.0, status="failed", output=SECRET, error=FAILED),
]


def test_steps_lie_under_what_holds_them_and_the_run_above_all():
    spans = ended(STORY, run(above=77))
    assert spans["run"].parent == 77
    assert spans["each[0].probe"].parent == spans["each"].id
    assert {spans[path].parent for path in ("each", "call", "on_failure.tell")} == {spans["run"].id}
    assert (spans["each[0].probe"].begin, spans["each[0].probe"].end) == (2.0, 5.0)
    assert spans["each[0].probe"].name == "shell each[0].probe"
    assert len({span.id for span in spans.values()}) == len(spans) == 5


def test_a_child_run_finds_the_step_that_started_it():
    spans = run()
    found = ended(STORY, spans)
    assert spans.children == {"r2": found["call"].id}


def test_errors_are_told_by_their_type():
    spans = ended(STORY)
    assert (spans["call"].error, spans["run"].error) == ("shell.exit", "shell.exit")
    assert spans["run"].attributes["error.type"] == "shell.exit"
    [moment] = spans["each[0].probe"].moments
    assert (moment.name, moment.at, moment.attributes["error.type"]) == ("attempt failed", 3.0, "shell.exit")
    assert spans["each[0].probe"].error is None
    assert spans["each[0].probe"].attributes["agentctl.step.attempts"] == 2


def test_nothing_of_what_a_run_works_on_is_told():
    assert SECRET not in repr(list(run().feed(STORY)))


def test_wherever_another_process_takes_over_the_spans_are_the_same():
    whole = list(run().feed(STORY))
    for cut in range(len(STORY)):
        spans = run()
        before = list(spans.feed(STORY[:cut]))
        again = run()
        assert list(again.feed(STORY[:cut])) == before
        assert before + list(again.feed(STORY[cut:])) == whole


def test_what_a_return_cut_off_ends_with_the_run():
    events = [
        RunStarted(at=1.0),
        StepStarted(at=2.0, path="a"),
        StepStarted(at=2.0, path="b"),
        StepCancelled(at=3.0, path="a"),
        RunFinished(at=4.0, status="succeeded"),
    ]
    spans = ended(events)
    assert [spans[path].attributes["agentctl.step.status"] for path in "ab"] == ["cancelled", "cancelled"]
    assert spans["b"].end == 4.0
    assert spans["run"].error is None


def test_a_resumed_run_goes_on_in_its_trace_with_a_span_of_its_own():
    spans = run()
    first = ended(STORY, spans)
    again = [
        RunResumed(at=20.0),
        StepStarted(at=20.0, path="call", child="r2"),
        StepSucceeded(at=21.0, path="call"),
        RunRecovered(at=21.5),
        RunFinished(at=22.0, status="succeeded"),
    ]
    second = ended(again, spans)
    assert second["run"].attributes["agentctl.run.resumed"] is True
    assert second["run"].begin == 20.0
    assert [moment.name for moment in second["run"].moments] == ["recovered"]
    assert {span.id for span in first.values()} & {span.id for span in second.values()} == set()
    assert spans.children["r2"] == second["call"].id


def test_a_reused_result_is_a_short_span_without_an_attempt():
    events = [
        RunStarted(at=1.0),
        StepKeyed(at=2.0, path="ask", key="k"),
        ResultFound(at=2.5, path="ask", output=1, source="r0/ask"),
        StepSucceeded(at=2.5, path="ask", output=1, status="reused"),
    ]
    span = ended(events)["ask"]
    assert (span.kind, span.attributes["agentctl.step.status"]) == ("internal", "reused")
    assert not any(key.startswith("gen_ai") for key in span.attributes), "no model was called"


def test_a_step_in_doubt_says_so():
    events = [RunStarted(at=1.0), StepStarted(at=2.0, path="a"), OutcomeUnknown(at=3.0, path="a", error=FAILED)]
    events.append(StepFailed(at=9.0, path="a", error=Error("step.unknown_outcome", "?")))
    span = ended(events)["a"]
    assert [moment.name for moment in span.moments] == ["outcome unknown"]
    assert span.error == "step.unknown_outcome"


def test_a_call_of_a_model_is_told_by_the_conventions_and_all_its_attempts_count():
    usage = Usage(input_tokens=10, output_tokens=5, usd=0.01, model="gemini/flash", cached_tokens=4)
    events = [
        RunStarted(at=1.0),
        StepStarted(at=2.0, path="ask", input={"prompt": SECRET, "model": "fast", "temperature": 0.5, "max_tokens": 99}),
        AttemptFailed(at=3.0, path="ask", attempt=1, error=Error("llm.invalid_output", SECRET), usage=usage),
        StepStarted(at=3.0, path="ask", attempt=2),
        StepSucceeded(at=4.0, path="ask", attempt=2, output=SECRET, usage=usage),
    ]
    span = ended(events)["ask"]
    assert (span.name, span.kind) == ("chat gemini/flash", "client")
    assert {key: value for key, value in span.attributes.items() if not key.startswith("agentctl.step")} == {
        "agentctl.run.id": "r1",
        "agentctl.definition": "demo",
        "agentctl.usage.usd": 0.02,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini/flash",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 8,
    }


def test_a_call_that_nobody_answered_names_the_alias_that_was_asked_for():
    assert call_attributes({"model": "fast"}, None) == {"gen_ai.operation.name": "chat", "gen_ai.request.model": "fast"}
    assert call_attributes(None, None)["gen_ai.request.model"] == "default"


def test_traces_of_different_runs_differ():
    assert len({trace_id(f"r{number}") for number in range(1000)}) == 1000
    assert 0 < trace_id("r1") < 2**128
