"""What is told of a case that does not hold, and of a file that is none."""

from __future__ import annotations

import pytest

from agentctl.core import commands as cmd
from agentctl.core import interpreter
from agentctl.testing.compare import MOST_LINES, difference, includes, same
from agentctl.testing.durations import exact_duration

TWO = "steps: [{id: a, shell: [a]}, {id: b, shell: [b]}]\n"
MOCKS = "mocks: {a: {output: {n: 1}}, b: {output: [1, 2]}}\n"


def test_a_step_without_a_mock_fails_the_case_with_the_mock_to_write(failure):
    what, message = failure(TWO, "cases: [{case: x, mocks: {a: {}}}]")
    assert what == "run"
    assert "step 'b' (shell) has no mock" in message
    assert "`b: {output: ...}`, or `allow: [shell]`" in message


@pytest.mark.parametrize(
    ("expect", "what", "message"),
    [
        ("{status: failed}", "run: status", "expected  failed\ngot       succeeded"),
        ("{output: [1, 3]}", "run: output", "expected  [1, 3]\ngot       [1, 2]"),
        ("{output_includes: [2, 1]}", "run: output_includes", "expected  [2, 1]\ngot       [1, 2]"),
        ("{status: succeeded, error: shell.exit}", "run: error", "expected  shell.exit\ngot       no error"),
        ("{steps: {a: failed}}", "step a: status", "expected  failed\ngot       succeeded"),
        ("{steps: {a: {runs: 2}}}", "step a: runs", "expected  2\ngot       1"),
        ("{steps: {a: {attempts: 0}}}", "step a: attempts", "expected  0\ngot       1"),
        ("{steps: {a: {output: {n: 1, m: 2}}}}", "step a: output", 'expected  {"n": 1, "m": 2}\ngot       {"n": 1}'),
        (
            "{steps: {a: {input_includes: {argv: [c]}}}}",
            "step a: input_includes",
            'expected  {"argv": ["c"]}\ngot       {"argv": ["a"]}',
        ),
        ("{order: [b, a]}", "order", "expected  a to begin after b\ngot       a, b"),
        ("{elapsed: 1d2h}", "elapsed", "expected  1d2h\ngot       0s"),
        ("{elapsed: {min: 3s}}", "elapsed", "expected  at least 3s\ngot       0s"),
    ],
)
def test_an_expectation_that_does_not_hold_is_told_with_what_came(failure, expect, what, message):
    assert failure(TWO, f"{MOCKS}cases: [{{case: x, expect: {expect}}}]") == (what, message)


def test_a_failure_stands_at_the_line_of_its_expectation(cases):
    test = f"{MOCKS}cases:\n  - case: x\n    expect:\n      steps:\n        a: {{runs: 1,\n            attempts: 7}}\n"
    [verdict] = cases(TWO, test)
    assert [(failure.line, failure.column) for failure in verdict.failures] == [(8, 13)]


def test_a_run_that_fails_says_why(failure):
    _, message = failure(TWO, "cases: [{case: x, mocks: {a: {error: {type: shell.exit, message: out of paper}}}}]")
    assert message == "expected  succeeded\ngot       failed\nbecause   shell.exit: out of paper"


@pytest.mark.parametrize(
    ("error", "key"), [("http.*", "type"), ("{message: ink}", "message"), ("{step: b}", "step"), ("{data: {code: 2}}", "data")]
)
def test_another_error_than_the_expected_one_is_a_failure(failure, error, key):
    mock = "{error: {type: shell.exit, message: out of paper, data: {code: 1}}}"
    assert failure(TWO, f"cases: [{{case: x, mocks: {{a: {mock}}}, expect: {{error: {error}}}}}]")[0] == f"run: error {key}"


def test_an_answer_that_nobody_asked_for_fails_the_case(failure):
    loop = "steps: [{wait: 1h}, {id: sign, approve: x}]"
    said = failure(loop, "cases: [{case: x, approvals: [{step: sign, at: 30m}]}]")[1]
    assert said == "30m after the start, no step 'sign' asks for an approval"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{}", "the approval of 'sign' has a form to fill in; `data` lacks sum"),
        ("{sum: x}", "the approval of 'sign' cannot be given: 'sum' has to be a whole number, not 'x'"),
        ("{sun: 1}", "the approval of 'sign' cannot be given: 'sun' is no field of the form; did you mean 'sum'?"),
    ],
)
def test_an_approval_has_to_fill_in_the_form(failure, data, message):
    loop = "steps: [{id: sign, approve: {message: x, form: {sum: {type: integer}}}}]"
    assert failure(loop, f"cases: [{{case: x, approvals: [{{step: sign, data: {data}}}]}}]")[1] == message


def test_a_case_without_an_end_is_stopped(failure, monkeypatch):
    monkeypatch.setattr("agentctl.testing.simulator.MOST", 500)
    loop = "steps: [{repeat: {until: 'false', every: 1s, max: 100000}, steps: [{set: {a: 1}}]}]"
    assert failure(loop, "cases: [{case: x}]")[1].startswith("the case does not come to an end: 500 things have happened")


def test_an_interpreter_that_forgets_what_is_open_is_found_out_by_a_crash(cases, monkeypatch):
    takes_over = interpreter.take_over

    def forgetful(state, at, memory, **keys):
        is_new = state.phase == "queued"
        decision = takes_over(state, at, memory, **keys)
        return decision if is_new else interpreter.Decision(decision.events, [])

    monkeypatch.setattr(interpreter, "take_over", forgetful)
    [verdict] = cases(TWO, f"{MOCKS}cases: [{{case: x}}]", crash=True)
    assert verdict.failures[0].what == "crash after event 1 (StepStarted a)"
    assert '-   "status": "succeeded",' in verdict.failures[0].message


def test_a_step_that_has_ended_and_executes_again_breaks_a_promise(cases, monkeypatch):
    takes_over = interpreter.take_over

    def eager(state, at, memory, **keys):
        decision = takes_over(state, at, memory, **keys)
        done = [cmd.Execute(path, 1, "shell", {}, [], None, "k", None) for path in ("a",) if path in state.steps]
        return interpreter.Decision(decision.events, [*done, *decision.commands])

    monkeypatch.setattr(interpreter, "take_over", eager)
    [verdict] = cases(TWO, f"{MOCKS}cases: [{{case: x}}]", crash=True)
    assert verdict.failures[0].message == "step a has ended and executes again"


@pytest.mark.parametrize(
    ("test", "place", "message"),
    [
        ("cases: []", "2:1 wrong-value", "'cases' is empty"),
        ("cases: [{case: x, mokcs: {}}]", "2:19 unknown-key", "unknown key 'mokcs' in a case; did you mean 'mocks'?"),
        ("cases: [{case: x}, {case: x}]", "2:21 duplicate-id", "two cases are called 'x'; the first is in line 2"),
        (
            "cases: [{case: x, cancel: 5}]",
            "2:19 wrong-type",
            "'cancel' has to be a duration such as 2h, or a mapping of at and reason, not the number 5",
        ),
        ("cases: [{case: x, mocks: {c: {}}}]", "2:27 unknown-step", "there is no step 'c' in 'c'; there are a, b"),
        ("mocks: {a.b: {}}\ncases: [{case: x}]", "2:9 unknown-step", "step 'a' in 'a.b' holds no steps"),
        (
            "cases: [{case: x, mocks: {a: [{output: 1, error: b}]}}]",
            "2:43 wrong-value",
            "an attempt comes to one thing: an output, an error, calls or an answer",
        ),
        ("cases: [{case: x, input: {y: 1}}]", "2:19 wrong-input", "loop 'subject' takes no input, but 'y' was given"),
        ("cases: [{case: x, approvals: [{step: a}]}]", "2:32 wrong-value", "step 'a' is no approve step but shell"),
        (
            "cases: [{case: x, start: noon}]",
            "2:19 wrong-value",
            "'start': expected a time such as 2026-11-23T09:30:00Z, got 'noon'",
        ),
        (
            "cases: [{case: x, expect: {steps: {a/b: failed}}}]",
            "2:36 unknown-step",
            "'a' is no skill step, so nothing runs below it after '/'",
        ),
    ],
)
def test_a_file_with_a_mistake_is_told_with_its_place(problems, test, place, message):
    assert problems(TWO, test) == [f"{place}: {message}"]


@pytest.mark.parametrize("path", ["g", "g.set_1"])
def test_a_container_or_a_pure_step_cannot_be_mocked(problems, path):
    loop = "steps: [{id: g, steps: [{set: {a: 1}}]}]"
    [problem] = problems(loop, f"cases: [{{case: x, mocks: {{{path}: {{}}}}}}]")
    assert problem.endswith("is always really run; only steps that act on the world are mocked")


def test_a_definition_with_problems_has_no_tests(problems):
    [problem] = problems("steps: [{shel: x}]", "cases: [{case: x}]")
    assert problem.startswith("1:1 invalid-definition: 'subject' cannot be run: loops/subject.yaml:2:")


def test_values_are_compared_as_json():
    assert same({"a": [1, None]}, {"a": [1.0, None]})
    assert not same(1, True)
    assert includes({"a": "ell", "b": [2]}, {"a": "hello", "b": [1, 2, 3], "c": 0})
    assert not includes([3, 1], [1, 2, 3])
    assert not includes({"a": None}, {})


def test_a_long_difference_shows_the_change_and_leaves_out_the_rest():
    shown = difference({"list": list(range(5000))}, {"list": [*range(2500), -1, *range(2501, 5000)]})
    assert "-     2500," in shown
    assert "+     -1," in shown
    assert len(shown.splitlines()) <= MOST_LINES + 2


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (1.5, "1.5s"), (259220, "3d20s"), (3600, "1h")])
def test_durations_are_written_as_they_are_read(seconds, text):
    assert exact_duration(seconds) == text
