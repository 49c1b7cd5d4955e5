"""Names in expressions: what exists, what is visible where, and what waits for what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentctl.language.load import Loaded
from agentctl.language.problems import Problem

Only = Callable[[str], tuple[int, int, str, str]]
Problems = Callable[[str], list[Problem]]
Load = Callable[[str], Loaded]


def test_a_step_that_does_not_exist_gets_the_nearest(steps: Only) -> None:
    assert steps("- id: look\n  shell: x\n- set: {a: '${{ steps.lok.output }}'}\n") == (
        3, 17, "unknown-step", "there is no step 'lok'; did you mean 'look'?",
    )  # fmt: skip


def test_a_step_inside_a_group_is_not_visible_outside(steps: Only) -> None:
    text = "- id: g\n  steps: [{id: look, set: {a: 1}}]\n- set: {a: '${{ steps.look.output }}'}\n"
    assert steps(text)[2:] == ("out-of-scope", "steps.look is inside group 'g' and not visible here")


def test_a_field_of_a_step_that_does_not_exist_is_told(steps: Only) -> None:
    text = "- id: a\n  shell: x\n- if: steps.a.outputt == 1\n  shell: x\n"
    assert steps(text) == (3, 7, "unknown-name", "a step has no 'outputt'; did you mean 'output'?")


def test_a_key_of_the_output_is_asked_of_the_output(steps: Only) -> None:
    assert steps("- id: a\n  shell: x\n- if: steps.a.severity == 1\n  shell: x\n")[3].endswith(
        "did you mean 'steps.a.output.severity'?"
    )


def test_a_step_that_runs_later_cannot_be_used(steps: Only) -> None:
    line, column, code, message = steps("- id: a\n  set: {x: '${{ steps.b.output }}'}\n- id: b\n  shell: x\n")
    assert (line, column, code) == (2, 17, "cycle")
    assert message == "step 'a' uses the result of 'b', but 'b' waits for 'a', so it cannot have run yet"


def test_a_step_cannot_use_its_own_result(steps: Only) -> None:
    assert steps("- id: a\n  set: {x: '${{ steps.a.output }}'}\n")[2:] == ("cycle", "step 'a' cannot use its own result")


def test_needs_that_form_a_circle_are_told_in_full(steps: Only) -> None:
    text = "- {id: a, needs: [c], shell: x}\n- {id: b, needs: [a], shell: x}\n- {id: c, needs: [b], shell: x}\n"
    line, column, code, message = steps(text)
    assert (line, column, code) == (1, 19, "cycle")
    assert message == "these steps wait for each other: 'a' -> 'c' -> 'b' -> 'a'"


def test_a_need_that_does_not_exist_gets_the_nearest(steps: Only) -> None:
    assert steps("- {id: build, shell: x}\n- {needs: [biuld], shell: x}\n") == (
        2, 12, "unknown-step", "there is no step 'biuld' in this list of steps; did you mean 'build'?",
    )  # fmt: skip


def test_two_circles_are_two_problems(problems: Problems) -> None:
    text = "loop: x\nsteps:\n- {id: a, needs: [b], shell: x}\n- {id: b, needs: [a], shell: x}\n"
    text += "- {id: c, needs: [d], shell: x}\n- {id: d, needs: [c], shell: x}\n"
    assert [problem.code for problem in problems(text)] == ["cycle", "cycle"]


def test_an_id_is_taken_once_in_a_list(steps: Only) -> None:
    assert steps("- {id: a, shell: x}\n- {id: a, shell: y}\n") == (
        2,
        4,
        "duplicate-id",
        "the id 'a' is taken by the step in line 3",
    )


def test_an_unknown_input_gets_the_nearest(only: Only) -> None:
    text = "loop: x\ninput: {service: {type: string}}\nsteps:\n- if: input.servise == 'a'\n  shell: x\n"
    assert only(text) == (4, 7, "unknown-input", "there is no input 'servise'; did you mean 'service'?")


def test_without_declared_input_there_is_none(steps: Only) -> None:
    assert steps("- if: input.x\n  shell: x\n")[3] == "there is no input 'x'; the definition declares no input"


@pytest.mark.parametrize(
    ("expression", "code", "word"),
    [
        ("stpes.a.output", "unknown-name", "did you mean 'steps'?"),
        ("a.output", "unknown-name", "did you mean 'steps.a'?"),
        ("run.idd", "unknown-name", "did you mean 'id'?"),
        ("event.dat", "unknown-name", "did you mean 'data'?"),
        ("item.x", "out-of-scope", "only inside a foreach"),
        ("index > 1", "out-of-scope", "a foreach or a repeat"),
        ("last == 1", "out-of-scope", "a repeat"),
        ("error.type", "out-of-scope", "a fallback or a handler"),
        ("steps", "unknown-step", "steps.ID"),
        ("1 +", "expression", ""),
        ("1 | lowr", "expression", "lower"),
    ],
)
def test_a_name_that_means_nothing_here_is_told(steps: Only, expression: str, code: str, word: str) -> None:
    _, _, found, message = steps(f"- {{id: a, shell: x}}\n- if: {expression}\n  shell: x\n")
    assert (found, word in message) == (code, True), message


@pytest.mark.parametrize("expression", ["nobody | default(1)", "nobody.there is defined", "error | default(none)"])
def test_a_name_that_is_not_there_is_only_a_warning_where_it_may_be_undefined(problems: Problems, expression: str) -> None:
    found = problems(f"loop: x\nsteps:\n- if: {expression}\n  shell: x\n")
    assert [(problem.severity, problem.line) for problem in found] == [("warning", 3)]


def test_a_name_without_its_brackets_is_a_warning(problems: Problems) -> None:
    found = problems("loop: x\nsteps:\n- {id: a, shell: x}\n- set: {v: steps.a.output, w: steps.other}\n")
    assert [(problem.severity, problem.code, problem.column) for problem in found] == [("warning", "bare-expression", 9)]
    assert "write ${{ steps.a.output }}" in found[0].message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input.who", "ada"),
        ("${{ input.who }}", "ada"),
        ("event.data['k'] | upper", "SEVEN"),
        ("'[input.who, event.name]'", ["ada", "go"]),
        ("${{ input.who }}-1", "ada-1"),
        ("daily", "daily"),
        ("the last run", "the last run"),
    ],
)
def test_a_key_of_flow_control_is_an_expression_with_or_without_its_brackets(loaded: Load, key: str, value: object) -> None:
    found = loaded(f"loop: x\ninput: {{who: {{type: string}}}}\ndedupe:\n  key: {key}\nsteps: [{{shell: x}}]\n")
    dedupe = found.definition.flow.dedupe
    scope = {"input": {"who": "ada"}, "event": {"name": "go", "data": {"k": "seven"}}}
    assert dedupe is not None
    assert (dedupe.key.evaluate(scope), list(found.problems)) == (value, [])


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("event.data.who", "ada"),
        ("${{ event.data.who }}", "ada"),
        ("event.data['who'] | upper", "ADA"),
        ("event.data.more | default(7)", 7),
        ("event.headers['x-github-event']", "push"),
        ("event.log", "event.log"),
        ("see event.data.who", "see event.data.who"),
        ("event.data.who knows", "event.data.who knows"),
    ],
)
def test_a_part_of_the_event_is_an_input_with_or_without_its_brackets(loaded: Load, given: str, value: object) -> None:
    text = f"loop: x\ntriggers:\n- event: go\n  input:\n    it: {given}\ninput: {{it: {{}}}}\nsteps: [{{shell: x}}]\n"
    (trigger,) = loaded(text).definition.triggers
    assert trigger.input is not None
    event = {"data": {"who": "ada"}, "headers": {"x-github-event": "push"}}
    assert trigger.input["it"].evaluate({"event": event}) == value


@pytest.mark.parametrize(
    ("key", "code"), [("input.how", "unknown-input"), ("steps.x.output", "out-of-scope"), ("secrets.T", "out-of-scope")]
)
def test_a_name_in_a_bare_key_of_flow_control_is_looked_up(problems: Problems, key: str, code: str) -> None:
    found = problems(f"loop: x\ninput: {{who: {{type: string}}}}\nconcurrency: {{limit: 1, key: {key}}}\nsteps: [{{shell: x}}]\n")
    assert [(problem.line, problem.column, problem.code) for problem in found] == [(3, 30, code)]


def test_an_unclosed_expression_is_told_where_it_opens(steps: Only) -> None:
    assert steps("- set: {a: 'x ${{ 1'}\n")[:3] == (1, 15, "expression")


def test_an_expression_in_a_block_of_text_is_told_at_its_own_line(steps: Only) -> None:
    assert steps("- llm:\n    prompt: |\n      Hello\n      you ${{ nobody }}\n")[:3] == (4, 15, "unknown-name")


def test_a_script_takes_no_expression(steps: Only) -> None:
    line, column, code, message = steps("- shell: |\n    set -e\n    echo ${{ input.x }}\n")
    assert (line, column, code) == (3, 10, "script-template")
    assert "env" in message
    assert '"$NAME"' in message


def test_a_script_behind_sh_c_is_a_warning(problems: Problems) -> None:
    found = problems("loop: x\ninput: {a: {default: 1}}\nsteps:\n- shell: [bash, -ec, 'echo ${{ input.a }}']\n")
    assert [(problem.severity, problem.code) for problem in found] == [("warning", "script-template")]


def test_an_escaped_expression_in_a_script_is_text(loaded: Load) -> None:
    params = loaded("loop: x\nsteps: [{shell: 'echo $${{ x }}'}]\n").definition.steps[0].action.params
    assert params.evaluate({}) == {"run": "echo ${{ x }}"}


@pytest.mark.parametrize(
    "action",
    [
        "set: {a: '${{ secrets.X }}'}",
        "remember: {a: '${{ secrets.X }}'}",
        "return: ${{ secrets.X }}",
        "fail: ${{ secrets.X }}",
        "emit: {event: a, data: '${{ secrets.X }}'}",
    ],
)
def test_a_secret_is_used_only_where_it_is_needed(steps: Only, action: str) -> None:
    assert steps(f"- {action}\n")[2] == "secret-here"


def test_a_secret_may_reach_the_parameters_of_an_action(problems: Problems) -> None:
    text = """
        loop: x
        steps:
          - http: {url: "${{ secrets.URL }}", headers: {Authorization: "Bearer ${{ secrets.T }}"}}
          - shell: env
            env: {T: "${{ secrets.T }}"}
            if: secrets.T is defined
          - python: a:b
            with: {t: "${{ secrets.T }}"}
    """
    assert problems(text) == []


def test_what_a_repeat_a_foreach_a_fallback_and_an_undo_can_see(problems: Problems) -> None:
    text = """
        loop: x
        steps:
          - id: a
            shell: x
          - id: each
            foreach: ${{ steps.a.output }}
            as: host
            steps:
              - id: probe
                set: {h: "${{ host }}", i: "${{ index }}", a: "${{ steps.a.output }}"}
              - if: steps.probe.output.i > 1
                fail: too many
            output: ${{ steps.probe.output.h }}
          - id: poll
            repeat: {until: steps.look.output == 'ok', max: 3}
            steps:
              - id: look
                set: {last: "${{ last }}", index: "${{ index }}"}
          - id: charge
            shell: x
            fallback:
              - set: {why: "${{ error.message }}"}
            undo: {set: {id: "${{ steps.charge.output }}"}}
        output: ${{ steps.each.output }}
        on_failure:
          - set: {why: "${{ error.type }}", a: "${{ steps.a.output }}"}
    """
    assert problems(text) == []


def test_a_foreach_with_a_name_of_its_own_has_no_item(steps: Only) -> None:
    assert steps("- foreach: [1]\n  as: host\n  steps: [{set: {a: '${{ item }}'}}]\n")[2] == "out-of-scope"


def test_a_foreach_knows_the_last_output_only_when_it_takes_one_item_at_a_time(problems: Problems, steps: Only) -> None:
    body = "steps: [{set: {a: '${{ last }}'}}]\n"
    assert problems(f"loop: x\nsteps:\n- foreach: [1]\n  {body}") == []
    assert steps(f"- foreach: [1]\n  max_parallel: 2\n  {body}")[2] == "out-of-scope"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("steps:\n- {id: finally, shell: x}\nfinally: [{shell: y}]\n", "the definition's 'finally'"),
        ("steps:\n- id: g\n  steps: [{id: undo, shell: x}]\n  undo: {shell: y}\n", "'undo' of the group"),
        ("steps:\n- id: g\n  steps: [{id: fallback, shell: x}]\n  fallback: [{shell: y}]\n", "'fallback' of the group"),
        (
            "steps:\n- id: g\n  steps: [{id: probe, shell: x}]\n  effect: once\n  on_unknown: {probe: [{shell: y}]}\n",
            "'probe' of the group",
        ),
    ],
)
def test_an_id_cannot_have_the_path_of_the_steps_that_stand_beside_its_list(problems: Problems, text: str, word: str) -> None:
    found = problems("loop: x\n" + text)
    assert [problem.code for problem in found] == ["duplicate-id"]
    assert word in found[0].message


def test_an_id_may_be_the_name_of_something_that_is_not_there(problems: Problems) -> None:
    assert problems("loop: x\nsteps:\n- {id: finally, steps: [{id: undo, shell: x}]}\n") == []


@pytest.mark.parametrize("name", ["input", "steps", "last", "not", "range"])
def test_an_item_cannot_have_a_name_that_expressions_have_for_something_else(steps: Only, name: str) -> None:
    assert steps(f"- foreach: [1]\n  as: {name}\n  steps: [{{set: {{a: 1}}}}]\n")[:3] == (2, 3, "bad-id")


def test_an_undo_step_waits_for_nothing(steps: Only) -> None:
    assert steps("- shell: x\n  undo: {shell: y, needs: [gone]}\n")[:3] == (2, 20, "misplaced-key")


def test_while_cannot_see_the_iteration_that_it_decides_on(steps: Only) -> None:
    assert steps("- repeat: {while: steps.a.output}\n  steps: [{id: a, set: {x: 1}}]\n")[2] == "out-of-scope"


def needs_of(loaded: Loaded) -> dict[str, tuple[str, ...]]:
    return {step.id: step.needs for step in loaded.definition.steps}


def test_a_step_needs_the_one_before_it(loaded: Load) -> None:
    assert needs_of(loaded("loop: x\nsteps: [{id: a, shell: x}, {id: b, shell: x}]\n")) == {"a": (), "b": ("a",)}


def test_a_reference_adds_a_need_to_those_written(loaded: Load) -> None:
    text = """
        loop: x
        steps:
          - {id: a, shell: x}
          - {id: b, needs: [], shell: x}
          - {id: c, needs: [], shell: [echo, "${{ steps.b.output }}"]}
          - id: d
            needs: [c]
            steps:
              - set: {x: "${{ steps.a.output }}"}
            fallback:
              - set: {x: "${{ steps.b.output }}"}
    """
    assert needs_of(loaded(text)) == {"a": (), "b": (), "c": ("b",), "d": ("c", "a", "b")}


def test_a_forward_reference_is_fine_when_nothing_waits_the_other_way(loaded: Load) -> None:
    text = "loop: x\nsteps:\n- {id: a, shell: [echo, '${{ steps.b.output }}']}\n- {id: b, needs: [], shell: x}\n"
    assert needs_of(loaded(text)) == {"a": ("b",), "b": ()}


def test_steps_without_an_id_are_named_by_action_and_place(loaded: Load) -> None:
    text = "loop: x\nsteps: [{shell: x}, {set: {a: 1}}, {id: set_2, set: {a: 1}}, {steps: [{shell: y}]}]\n"
    steps = loaded(text).definition.steps
    assert [step.id for step in steps] == ["shell_1", "set_2_", "set_2", "steps_4"]
    assert steps[3].action.steps[0].id == "shell_1"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ticket.id", "t7"),
        ("ticket.id ~ '/' ~ input.who", "t7/ada"),
        ("ticket", {"id": "t7"}),
        ("${{ ticket.id }}", "t7"),
        ("mail-${{ ticket.id }}", "mail-t7"),
        ("set-up", "set-up"),
        ("run-1", "run-1"),
        ("once for all", "once for all"),
    ],
)
@pytest.mark.parametrize("written", ["idempotency_key: {}", "cache: {{ttl: 1h, key: {}}}"])
def test_the_key_of_a_result_is_an_expression_with_or_without_its_brackets(
    loaded: Load, written: str, key: str, value: object
) -> None:
    said = written.format(f'"{key}"')
    each = f"- foreach: [1]\n  as: ticket\n  steps:\n  - shell: x\n    {said}\n"
    found = loaded(f"loop: x\ninput: {{who: {{type: string}}}}\nsteps:\n{each}")
    inner = found.definition.steps[0].action.steps[0]
    template = inner.idempotency_key or inner.cache.key
    assert (template.evaluate({"ticket": {"id": "t7"}, "input": {"who": "ada"}}), list(found.problems)) == (value, [])


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("if: secrets.T == 'v'", 5),
        ("if: secrets.T", 5),
        ("if: input is defined and secrets.T", 26),
        ("if: secrets.T is defined and secrets.T != ''", 30),
        ("if: secrets.T | default('') | length > 3", 5),
        ("env: {A: '${{ secrets.T | upper }}'}", 15),
        ("env: {A: '${{ \"Bearer \" ~ secrets.T }}'}", 27),
        ("env: {A: '${{ secrets.T or 1 }}'}", 15),
        ("env: {A: '${{ secrets.T[:3] }}'}", 15),
        ("env: {A: '${{ secrets.T.x }}'}", 15),
        ("env: {A: '${{ 1 if secrets.T else 2 }}'}", 20),
        ("env: {A: '${{ \"x\" | replace(\"x\", secrets.T) }}'}", 34),
        ("env: {A: '${{ {secrets.T: 1} }}'}", 16),
    ],
)
def test_a_secret_that_is_more_than_inserted_is_told_before_anything_runs(steps: Only, text: str, column: int) -> None:
    said = "a secret can only be inserted, as it is or inside longer text"
    assert steps(f"- shell: x\n  {text}\n") == (2, column + 2, "secret-here", said)


@pytest.mark.parametrize(
    "text",
    [
        "if: secrets.T is defined",
        "env: {A: '${{ secrets.T }}', B: 'Bearer ${{ secrets.T }}'}",
        "env: {A: '${{ secrets.T | default(\"none\") }}'}",
        "env: {A: '${{ secrets.T if secrets.T is defined else secrets.U }}'}",
        "stdin: {a: '${{ {\"b\": [secrets.T]} }}'}",
        "env: {A: '${{ secrets.T is defined and secrets.T }}'}",
    ],
)
def test_a_secret_that_is_inserted_or_asked_after_is_no_problem(problems: Problems, text: str) -> None:
    assert problems(f"loop: x\nsteps:\n  - shell: x\n    {text}\n") == []


def test_an_item_that_is_called_otherwise_is_told_by_that_name(steps: Only) -> None:
    inner = "    - foreach: [2]\n      as: m\n      steps: [{set: {a: '${{ item }} ${{ n }}'}}]\n"
    text = f"- foreach: [1]\n  as: n\n  steps:\n{inner}"
    assert steps(text) == (6, 30, "out-of-scope", "the item is called 'm' here; write 'm'")
