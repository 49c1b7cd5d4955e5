"""Expressions in keys, forms and fixed values: each is evaluated, or refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import DefinitionInvalid
from agentctl.language.load import Loaded
from agentctl.language.problems import Problem
from agentctl.language.project.project import find

Problems = Callable[[str], list[Problem]]


@pytest.mark.parametrize(
    "step",
    [
        "set: {'a_${{ input.user }}': 1}",
        "remember: {'a_${{ input.user }}': 1}",
        "emit: {event: x.y, data: {'d_${{ input.user }}': 4}}",
        "http: {url: 'http://x', json: {'${{ input.user }}': 1}, query: {'${{ input.user }}': 1}}",
        "return: {'${{ input.user }}': 1}",
        "fail: {message: x, data: [{'${{ input.user }}': 1}]}",
    ],
)
def test_an_expression_in_a_key_is_checked_as_one_in_a_value(problems: Problems, step: str) -> None:
    text = f"loop: x\ninput: {{user: {{type: string}}}}\nsteps:\n- {step}\n"
    assert problems(text) == []
    [found, *_] = problems(text.replace("input.user }}", "input.usr }}"))
    assert (found.line, found.code) == (4, "unknown-input")


def test_a_step_in_a_key_is_waited_for(loaded: Callable[[str], Loaded]) -> None:
    text = "loop: x\nsteps:\n- {id: a, set: {b: c}}\n- {id: d, needs: [], set: {'${{ steps.a.output.b }}': 1}}\n"
    assert loaded(text).definition.steps[1].needs == ("a",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("input: {a: {type: string, default: '${{ vars.b }}'}}", 2),
        ("input: {a: {enum: ['${{ vars.b }}'], default: x}}", 2),
        ("permissions: {http: ['${{ vars.b }}']}", 2),
        ("triggers: [{event: x.y, input: {'${{ vars.b }}': 1}}]", 2),
        ("steps: [{env: {'${{ vars.b }}': 1}, shell: x}]", 2),
        ("steps: [{approve: {message: x, form: {'${{ vars.b }}': {type: string}}}}]", 2),
        ("steps: [{approve: {message: x, form: {a: {type: string, description: '${{ vars.b }}'}}}}]", 2),
        ("steps: [{set: {'${{ secrets.A }}': 1}}]", 2),
    ],
)
def test_an_expression_where_nothing_evaluates_it_is_refused(problems: Problems, text: str, line: int) -> None:
    steps = "" if text.startswith("steps") else "steps: [{set: {a: 1}}]\n"
    found = [problem for problem in problems(f"loop: x\n{text}\n{steps}") if problem.severity == "error"]
    assert found
    assert {problem.line for problem in found} == {line}


def test_a_constant_default_of_a_form_fits_its_schema(problems: Problems) -> None:
    text = "loop: x\nsteps: [{approve: {message: x, form: {n: {type: integer, default: DEFAULT}}}}]\n"
    assert problems(text.replace("DEFAULT", "5")) == []
    assert problems(text.replace("DEFAULT", "'${{ vars.n }}'")) == []
    [found] = problems(text.replace("DEFAULT", "five"))
    assert (found.code, found.message) == ("bad-default", "the default of 'n' has to be a whole number, not 'five'")


@pytest.mark.parametrize(
    "text",
    [
        "store: '${{ vars.x }}.db'",
        "vars: {a: ['${{ secrets.X }}']}",
        "vars: {'${{ secrets.X }}': 1}",
        "models: {'${{ vars.x }}': openai/x}",
        "policy: {http: {deny: ['${{ vars.net }}']}}",
        "retention: '${{ vars.days }}'",
        "timezone: '${{ vars.zone }}'",
    ],
)
def test_the_project_file_refuses_an_expression_that_it_does_not_evaluate(tmp_path: Path, text: str) -> None:
    (tmp_path / "agentctl.yaml").write_text(text)
    with pytest.raises(DefinitionInvalid, match="takes no expression"):
        find(tmp_path, environment={})


def test_the_settings_of_a_model_take_secrets(tmp_path: Path) -> None:
    (tmp_path / "agentctl.yaml").write_text("models: {a: {model: openai/x, api_key: '${{ secrets.KEY }}'}}")
    found: Any = find(tmp_path, environment={}).models["a"]
    assert found["api_key"] == "${{ secrets.KEY }}"


@pytest.mark.parametrize("priority", ["10 ** 400", "-2 ** 40", "(1 ~ 'x')", "1 > 0", "1 / 0", "10 ** 100000"])
def test_a_priority_that_depends_on_nothing_is_checked_when_the_file_is_loaded(problems: Problems, priority: str) -> None:
    [found] = problems(f"loop: x\npriority: {priority}\nsteps: [{{set: {{a: 1}}}}]\n")
    assert (found.line, found.severity) == (2, "error")
    assert "priority" in found.message
    assert problems("loop: x\npriority: 10 ** vars.boost\nsteps: [{set: {a: 1}}]\n") == []


@pytest.mark.parametrize(
    ("trigger", "step", "warns"),
    [
        ("event: x.*", "emit: {event: x.y}", True),
        ("event: x.*", "{steps: [{emit: {event: x.y}}]}", True),
        ("event: x.*", "{if: input.a, emit: {event: x.y}}", False),
        ("{event: x.*, if: event.data.again}", "emit: {event: x.y}", False),
        ("event: x.*", "emit: {event: z.y}", False),
        ("event: x.*", "emit: {event: 'x.${{ input.a }}'}", False),
    ],
)
def test_a_definition_that_visibly_starts_itself_is_warned_of(
    problems: Problems, trigger: str, step: str, *, warns: bool
) -> None:
    trigger = trigger if trigger.startswith("{") else f"{{{trigger}}}"
    found = problems(f"loop: x\ntriggers: [{trigger}]\ninput: {{a: {{default: 1}}}}\nsteps:\n- {step}\n")
    assert [problem.code for problem in found] == (["own-event"] if warns else [])


@pytest.mark.parametrize("shell", ["[curl, -u, '${{ secrets.T }}']", "{run: [curl, 'x${{ secrets.T }}']}"])
def test_a_secret_among_the_arguments_of_a_process_is_warned_of(problems: Problems, shell: str) -> None:
    [found] = problems(f"loop: x\nsteps:\n- shell: {shell}\n- env: {{T: '${{{{ secrets.T }}}}'}}\n  shell: [sh, -c, 'echo $T']\n")
    assert (found.line, found.code, found.severity) == (3, "secret-argument", "warning")


@pytest.mark.parametrize(
    ("until", "fits"), [("1795900000", True), ("1795900000000", False), ("'2030-01-01'", True), ("noon", False)]
)
def test_a_constant_time_that_no_clock_reaches_is_refused(problems: Problems, until: str, *, fits: bool) -> None:
    found = problems(f"loop: x\nsteps: [{{wait: {{until: {until}}}}}]\n")
    assert [problem.code for problem in found] == ([] if fits else ["bad-time"])
    assert problems("loop: x\nsteps: [{wait: {until: '${{ vars.t }}'}}]\n") == []
