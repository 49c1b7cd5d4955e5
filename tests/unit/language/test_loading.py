"""From a file to a definition: short forms, defaults, units, versions, speed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agentctl import model
from agentctl.errors import DefinitionInvalid, NotFound
from agentctl.language.load import Loaded, check, load, load_text

Load = Callable[[str], Loaded]
Write = Callable[..., Path]


def step_of(loaded: Load, step: str, head: str = "") -> model.Step:
    return loaded(f"loop: x\n{head}steps:\n- {step}\n").definition.steps[0]


def test_the_version_is_the_hash_of_the_bytes(write: Write) -> None:
    path = write("loop: x\nsteps: [{shell: x}]\n")
    assert load(path).version == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_invalid_file_raises_with_all_its_problems(write: Write) -> None:
    with pytest.raises(DefinitionInvalid) as raised:
        load(write("loop: X\nsteps: [{shel: x}]\n"))
    assert [problem.code for problem in raised.value.problems] == ["bad-name", "unknown-key"]
    assert "loop.yaml:2:10: error[unknown-key]" in str(raised.value)


def test_a_text_loads_as_its_file_does(write: Write) -> None:
    text = "loop: x\nsteps: [{shell: x}]\n"
    assert load_text(text, "a.yaml") == msgspec.structs.replace(load(write(text)), file="a.yaml")


def test_no_file_is_not_found_and_check_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        load(tmp_path / "x.yaml")
    assert [problem.code for problem in check(tmp_path / "x.yaml")] == ["unreadable"]


def test_the_compiled_form_survives_the_store(loaded: Load) -> None:
    text = """
        skill: x
        input: {a: {type: string, default: b}}
        steps:
          - llm: {prompt: "${{ input.a }}", schema: {severity: {type: string}}}
            retry: {attempts: 3, on: [timeout]}
            cache: {key: "${{ input.a }}", ttl: 1h}
          - {id: each, foreach: "${{ [1] }}", steps: [{wait: 5m}], on_unknown: {probe: [{set: {done: true}}]}, effect: once}
        finally: [{approve: done}]
    """
    definition = loaded(text).definition
    assert model.decode(model.encode(definition)) == definition


def test_a_short_schema_becomes_a_full_one(loaded: Load) -> None:
    step = step_of(loaded, "llm: {prompt: x, schema: {severity: {enum: [low, high]}}}")
    assert step.action.params.evaluate({})["schema"] == {
        "type": "object",
        "properties": {"severity": {"enum": ["low", "high"]}},
        "required": ["severity"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema", ["{type: object, properties: {a: {type: string}}}", "{enum: [a, b]}", "{type: [string, 'null']}"]
)
def test_a_full_schema_stays_as_it_is(loaded: Load, schema: str) -> None:
    from agentctl.language.yaml.reader import read_text

    step = step_of(loaded, f"llm: {{prompt: x, schema: {schema}}}")
    assert step.action.params.evaluate({})["schema"] == read_text(schema).data


def test_a_property_named_type_is_still_the_short_form(loaded: Load) -> None:
    step = step_of(loaded, "llm: {prompt: x, schema: {type: {type: string}}}")
    assert step.action.params.evaluate({})["schema"]["required"] == ["type"]


@pytest.mark.parametrize(
    ("step", "params"),
    [
        ("shell: uptime", {"run": "uptime"}),
        ("shell: [git, log]", {"argv": ["git", "log"]}),
        (
            "{shell: {run: [ls], cwd: /}, parse: lines, env: {A: 1}}",
            {"argv": ["ls"], "cwd": "/", "parse": "lines", "env": {"A": "1"}},
        ),
        ("{python: 'a:b', with: {x: 1}}", {"function": "a:b", "with": {"x": 1}}),
        ("http: {url: x, max_bytes: 10MiB}", {"url": "x", "max_bytes": 10 * 2**20}),
        ("set: {a: 1}", {"a": 1}),
        ("fail: broken", {"message": "broken"}),
    ],
)
def test_parameters_have_the_shape_of_the_model(loaded: Load, step: str, params: object) -> None:
    assert step_of(loaded, step).action.params.evaluate({}) == params


def test_durations_are_seconds_and_a_number_of_attempts_is_a_retry(loaded: Load) -> None:
    step = step_of(loaded, "{shell: x, timeout: 1h30m, retry: 5}")
    assert (step.timeout, step.retry) == (5400.0, model.Retry(attempts=5))


def test_defaults_hold_for_what_is_executed_and_says_nothing_itself(loaded: Load) -> None:
    text = """
        loop: x
        defaults: {retry: 3, timeout: 1m}
        steps:
          - shell: a
          - {shell: b, timeout: 5s, retry: 1}
          - steps: [{shell: c}]
          - wait: 2h
    """
    a, b, group, wait = loaded(text).definition.steps
    assert (a.retry.attempts, a.timeout) == (3, 60.0)
    assert (b.retry.attempts, b.timeout) == (1, 5.0)
    assert (group.retry.attempts, group.timeout) == (1, None)
    assert group.action.steps[0].timeout == 60.0
    assert (wait.retry.attempts, wait.timeout) == (1, None)


def test_defaults_reach_the_actions_that_the_docs_name_wherever_they_stand(loaded: Load) -> None:
    reached = {
        "shell": "x", "python": "m:f", "http": "{url: u}", "llm": "{prompt: p}", "skill": "s", "set": "{a: 1}",
        "remember": "{a: 1}", "emit": "{event: e}", "history": "{of: x}",
    }  # fmt: skip
    others = {"wait": "1s", "approve": "m", "fail": "m", "return": "1", "foreach": "[1], steps: [{set: {a: 1}}]"}
    for action, value in (reached | others).items():
        text = f"loop: x\ndefaults: {{retry: 3, timeout: 1m}}\nsteps:\n  - {{{action}: {value}}}\n"
        step = loaded(text).definition.steps[0]
        assert (step.retry.attempts, step.timeout) == ((3, 60.0) if action in reached else (1, None)), action
    text = """
        loop: x
        defaults: {timeout: 1m}
        steps:
          - {shell: a, fallback: [{shell: b}], undo: {shell: c}, effect: once, on_unknown: {probe: [{shell: d}]}}
        finally: [{shell: e}]
    """
    definition = loaded(text).definition
    [step] = definition.steps
    assert step.undo is not None
    assert {inner.timeout for inner in (step, step.undo, *step.fallback, *step.probe, *definition.finally_)} == {60.0}


def test_a_step_knows_its_line(loaded: Load) -> None:
    assert [step.line for step in loaded("loop: x\nsteps:\n- shell: x\n\n- shell: y\n").definition.steps] == [3, 5]


def test_the_definition_names_every_skill_that_it_calls(loaded: Load) -> None:
    text = """
        loop: x
        steps:
          - {steps: [{skill: one}]}
          - agent: {goal: x, tools: [{skill: two}, {skill: three}]}
        on_failure: [{skill: one}]
    """
    assert loaded(text).definition.skills == ("one", "two", "three")


def test_a_skill_that_calls_itself_for_ever_is_refused(only: Callable[[str], tuple[int, int, str, str]]) -> None:
    assert only("skill: dig\nsteps:\n- shell: x\n- steps: [{skill: dig}]\n")[:3] == (4, 12, "self-call")


@pytest.mark.parametrize(
    "steps",
    [
        "[{if: input.n > 0, skill: dig}]",
        "[{if: input.n == 0, return: 1}, {skill: dig}]",
        "[{foreach: '${{ [1] }}', steps: [{skill: dig}]}]",
        "[{shell: x, fallback: [{skill: dig}]}]",
    ],
)
def test_a_skill_may_call_itself_when_something_can_end_it(loaded: Load, steps: str) -> None:
    assert loaded(f"skill: dig\ninput: {{n: {{default: 1}}}}\nsteps: {steps}\n").definition.skills == ("dig",)


def test_a_thousand_steps_load_in_well_under_a_second(write: Write) -> None:
    text = "loop: x\nsteps:\n" + "".join(f"- id: s{n}\n  set: {{n: '${{{{ 1 + {n} }}}}'}}\n  retry: 3\n" for n in range(1000))
    path = write(text)
    load(write("loop: y\nsteps: [{set: {a: '${{ 1 }}'}}]\n", "warm.yaml"))
    began = time.process_time()
    assert len(load(path).definition.steps) == 1000
    assert time.process_time() - began < 1.0


def test_a_thousand_steps_that_wait_backwards_are_no_circle(loaded: Load) -> None:
    text = "loop: x\nsteps:\n" + "".join(f"- {{id: s{n}, needs: [s{n + 1}], set: {{a: 1}}}}\n" for n in range(999))
    assert len(loaded(text + "- {id: s999, needs: [], set: {a: 1}}\n").definition.steps) == 1000


def test_importing_the_loader_imports_nothing_heavy() -> None:
    modules = ("load", "project.project", "inputs", "catalog")
    code = f"import sys, {', '.join(f'agentctl.language.{name}' for name in modules)};"
    code += "print([name for name in ('jsonschema', 'ruamel.yaml', 'jinja2', 'croniter') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
