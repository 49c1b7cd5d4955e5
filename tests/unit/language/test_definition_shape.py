"""Keys and values that do not fit: one problem for each cause, at its key, with what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import agentctl.language.problems as problems_module
from agentctl.language.problems import CODES, Problem, format_problem

Only = Callable[[str], tuple[int, int, str, str]]
Problems = Callable[[str], list[Problem]]


def test_a_mistyped_key_of_a_step_gets_the_nearest_one(steps: Only) -> None:
    line, column, code, message = steps("- shell: x\n  retries: 3\n")
    assert (line, column, code) == (2, 3, "unknown-key")
    assert message == "unknown key 'retries' in a step; did you mean 'retry'?"


def test_a_mistyped_action_is_not_also_a_missing_one(steps: Only) -> None:
    assert steps("- shel: x\n") == (1, 3, "unknown-key", "unknown key 'shel' in a step; did you mean 'shell'?")


def test_the_word_of_another_tool_leads_to_ours(steps: Only) -> None:
    assert steps("- run: make\n")[3].endswith("did you mean 'shell'?")


def test_a_step_without_an_action_is_told_all_of_them(steps: Only) -> None:
    line, column, code, message = steps("- name: x\n")
    assert (line, column, code) == (1, 3, "no-action")
    assert "shell, python, http" in message


def test_a_step_with_two_actions_is_told_which(steps: Only) -> None:
    line, column, code, message = steps("- shell: x\n  llm: {prompt: x}\n")
    assert (line, column, code) == (2, 3, "two-actions")
    assert "'shell' and 'llm'" in message


def test_an_http_step_has_one_body(steps: Only) -> None:
    line, column, code, message = steps("- http: {url: 'http://x', json: {a: 1}, body: x}\n")
    assert (line, column, code) == (1, 3, "wrong-value")
    assert message == "http takes only one of 'json' and 'body'"


def test_a_step_has_one_kind_of_key(steps: Only) -> None:
    line, column, code, message = steps("- shell: x\n  idempotency_key: k\n  cache: {key: k, ttl: 1h}\n")
    assert (line, column, code) == (1, 3, "wrong-value")
    assert message == "a step takes only one of 'idempotency_key' and 'cache'"


def test_steps_is_no_second_action_beside_foreach(problems: Problems) -> None:
    assert problems("loop: x\nsteps:\n- foreach: [1]\n  steps: [{set: {a: 1}}]\n") == []


def test_a_definition_needs_a_kind(only: Only) -> None:
    assert only("steps: [{shell: x}]\n")[2:] == ("missing-key", "a definition needs the key 'loop' or 'skill' with its name")


def test_a_definition_has_one_kind(only: Only) -> None:
    assert only("loop: x\nskill: x\nsteps: [{shell: x}]\n")[:3] == (2, 1, "wrong-value")


def test_a_definition_needs_steps(only: Only) -> None:
    assert only("loop: x\n")[2:] == ("missing-key", "a definition needs 'steps'")


def test_a_list_is_no_definition(only: Only) -> None:
    assert only("- a\n")[2] == "wrong-type"


def test_a_bad_name_says_what_a_name_is(only: Only) -> None:
    line, column, code, message = only("loop: Health Check\nsteps: [{shell: x}]\n")
    assert (line, column, code) == (1, 1, "bad-name")
    assert "'Health Check'" in message
    assert "a-z" in message


@pytest.mark.parametrize(
    ("step", "code", "word"),
    [
        ("{shell: x, timeout: 5}", "bad-duration", "write 5s for seconds"),
        ("{shell: x, timeout: 5x}", "bad-duration", "1h30m"),
        ("{shell: x, timeout: '5'}", "bad-duration", "no unit"),
        ("{shell: x, timeout: '${{ input.t }}'}", "expression-here", "takes no expression"),
        ("{shell: x, retry: 0}", "wrong-value", "at least 1"),
        ("{shell: x, retry: {attempts: 0}}", "wrong-value", "at least 1"),
        ("{shell: x, retry: {delay: 1s}}", "missing-key", "'attempts'"),
        ("{shell: x, retry: yes}", "wrong-type", "number of attempts"),
        ("{shell: x, effect: onec}", "wrong-value", "did you mean 'once'?"),
        ("{shell: x, on_unknown: fail}", "misplaced-key", "effect: once"),
        ("{shell: x, on_unknown: fail, effect: repeatable}", "misplaced-key", "effect: once"),
        ("{shell: x, id: My-Step}", "bad-id", "a-z"),
        ("{shell: x, parse: jsn}", "wrong-value", "did you mean 'json'?"),
        ("{shell: []}", "wrong-value", "empty"),
        ("{shell: {cwd: /}}", "missing-key", "'run'"),
        ("{set: {a: 1}, parse: json}", "misplaced-key", "beside 'shell'"),
        ("{set: {a: 1}, with: {b: 1}}", "misplaced-key", "'python' or 'skill'"),
        ("{set: {a: 1}, output: 1}", "misplaced-key", "'steps', 'foreach' or 'repeat'"),
        ("{shell: x, env: {A-B: 1}}", "wrong-value", "environment variable"),
        ("{shell: x, needs: a}", "wrong-type", "list of step ids"),
        ("{shell: x, undo: [{shell: y}]}", "wrong-type", "a mapping"),
        ("{shell: x, cache: {key: a}}", "missing-key", "'ttl'"),
        ("{http: {method: GET}}", "missing-key", "'url'"),
        ("{http: {url: x, method: get}}", "wrong-value", "did you mean 'GET'?"),
        ("{http: {url: x, ok: [2xy]}}", "wrong-value", "2xx"),
        ("{http: {url: x, max_bytes: 10X}}", "bad-size", "10MiB"),
        ("{llm: {model: x}}", "missing-key", "prompt, messages"),
        ("{llm: {prompt: x, temperature: 3}}", "wrong-value", "at most 2"),
        ("{python: os.system}", "wrong-value", "package.module:function"),
        ("{agent: {goal: x, tools: [{shel: [ls]}]}}", "unknown-key", "did you mean 'shell'?"),
        ("{wait: 5}", "wrong-type", "2h"),
        ("{wait: 5 minutes}", "bad-duration", "duration"),
        ("{wait: {event: x, until: '2030-01-01'}}", "wrong-value", "'until' and 'event'"),
        ("{foreach: [1]}", "missing-key", "'steps'"),
        ("{foreach: items, steps: [{set: {a: 1}}]}", "wrong-value", "expression"),
        ("{foreach: [1], max_parallel: 0, steps: [{set: {a: 1}}]}", "wrong-value", "at least 1"),
        ("{repeat: {max: 3}, steps: [{set: {a: 1}}]}", "missing-key", "until, while"),
        ("{repeat: {until: 'true', max: 0}, steps: [{set: {a: 1}}]}", "wrong-value", "at least 1"),
        ("{steps: []}", "wrong-value", "empty"),
        ("{set: {}}", "wrong-value", "empty"),
        ("{skill: No Such}", "bad-name", "a-z"),
        ("{fail: {type: x}}", "missing-key", "'message'"),
        ("{emit: {data: 1}}", "missing-key", "'event'"),
        ("{emit: {event: agentctl.run.failed}}", "bad-event-name", "agentctl's own"),
        ("{emit: {event: order.*}}", "bad-event-name", "is exact"),
        ("{emit: {event: a..b}}", "bad-event-name", "joined by dots"),
        ("{wait: {event: order*}}", "bad-event-name", "one whole part"),
        ("{history: {of: x, limit: 0}}", "wrong-value", "at least 1"),
        ("http: GET", "wrong-type", "mapping"),
        ("wait: {until: '2030-01-01T00:00:00Z', timeout: 1h}", "wrong-value", "only one of 'until' and 'timeout'"),
    ],
)
def test_a_wrong_value_is_told_once_with_what_was_expected(steps: Only, step: str, code: str, word: str) -> None:
    _, _, found, message = steps(f"- {step}\n")
    assert (found, word in message) == (code, True), message


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("triggers: [{cron: '* * * * * *'}]", "bad-cron", "6 fields"),
        ("triggers: [{cron: '0 30 9 * * 1-5'}]", "bad-cron", "write '30 9 * * 1-5'"),
        ("triggers: [{cron: '*/10 * * * * *'}]", "bad-cron", "write 'every: 10s'"),
        ("triggers: [{cron: '@reboot'}]", "bad-cron", "agentctl run NAME"),
        ("triggers: [{cron: '@every 5m'}]", "bad-cron", "write 'every: 5m'"),
        ("triggers: [{cron: '@midnight'}]", "bad-cron", "write @daily"),
        ("triggers: [{cron: '@dayly'}]", "bad-cron", "did you mean '@daily'?"),
        ("triggers: [{cron: 'CRON_TZ=Asia/Tokyo 0 9 * * *'}]", "bad-cron", "'timezone: Asia/Tokyo'"),
        ("triggers: [{cron: '0 9 * * 5L'}]", "bad-cron", "written L5"),
        ("triggers: [{cron: '0 25 * * *'}]", "bad-cron", "'25' is no hour"),
        ("triggers: [{cron: '*/90 * * * *'}]", "cron-step", "write 'every: 90m'"),
        ("triggers: [{cron: '0 9 * * */7'}]", "cron-step", "the day of week 0 alone"),
        ("triggers: [{file: /etc/*.conf}]", "wrong-value", "leads out of the project"),
        ("triggers: [{file: inbox/../../*}]", "wrong-value", "leads out of the project"),
        ("triggers: [{file: inbox/}]", "wrong-value", "names a folder"),
        ("triggers: [{file: .}]", "wrong-value", "names a folder"),
        ("triggers: [{cron: 'R * * * *'}]", "bad-cron", "random"),
        ("triggers: [{cron: '0 0 31 2 *'}]", "bad-cron", "never comes true"),
        ("triggers: [{cron: '* * * * *', timezone: Berlin}]", "bad-time-zone", "Europe/Berlin"),
        ("triggers: [{cron: '* * * * *', timezon: UTC}]", "unknown-key", "did you mean 'timezone'?"),
        ("triggers: [{cron: '* * * * *', if: 'true'}]", "unknown-key", "a cron trigger"),
        ("triggers: [{event: 'order*'}]", "bad-event-name", "one whole part"),
        ("triggers: [{at: noon}]", "missing-key", "cron, every, event, webhook, file"),
        ("triggers: [{every: 5}]", "bad-duration", "write 5s"),
        ("triggers: [{every: 0s}]", "wrong-value", "the shortest interval is 100ms"),
        ("triggers: [{webhook: /x}]", "missing-key", "scheme: none"),
        ("triggers: [{webhook: x, scheme: none}]", "wrong-value", "begins with /"),
        ("triggers: [{webhook: '/x?y=1', scheme: none}]", "wrong-value", "no ?, #, %"),
        ("triggers: [{webhook: '/x/../y', scheme: none}]", "wrong-value", "no parts . or .."),
        ("triggers: [{webhook: /x, secret: '${{ secrets.A }}', scheme: none}]", "misplaced-key", "whatever the secret"),
        ("triggers: [{webhook: /x, secret: abc}]", "wrong-value", "secrets.NAME"),
        ("triggers: [{event: x, if: evnt.name}]", "unknown-name", "did you mean 'event'?"),
        ("triggers: [{event: x, if: steps.a.output}]", "out-of-scope", "'steps' has no value here"),
        ("triggers: [{event: x, input: {servce: '${{ 1 }}'}}]", "unknown-input", "did you mean 'service'?"),
        ("concurrency: 0", "wrong-value", "at least 1"),
        ("concurrency: {limit: 1, key: '${{ item }}'}", "out-of-scope", "foreach"),
        ("throttle: {limit: 1}", "missing-key", "'per'"),
        ("budget: {}", "wrong-value", "empty"),
        ("defaults: {retri: 3}", "unknown-key", "did you mean 'retry'?"),
        ("timeout: 10 minutes", "bad-duration", "10 minutes"),
        ("permissions: {shel: [git]}", "unknown-key", "did you mean 'shell'?"),
    ],
)
def test_a_wrong_key_of_a_definition_is_told_once(only: Only, text: str, code: str, word: str) -> None:
    base = "loop: x\ninput: {service: {default: a}}\nsteps: [{shell: x}]\n"
    line, _, found, message = only(base + text + "\n")
    assert (line, found, word in message) == (4, code, True), message


def test_a_valid_webhook_and_cron_are_taken(problems: Problems) -> None:
    text = """
        loop: x
        triggers:
          - {webhook: /x, secret: "${{ secrets.HOOK }}", scheme: github}
          - {webhook: /y, scheme: none}
          - {cron: "@daily"}
          - {cron: "0 9-9 * * fri-fri"}
          - {cron: "H/5 9-17 * * mon-fri", timezone: Europe/Berlin, catch_up: all, max: 5, dst: {gap: skip, fold: twice}}
          - {file: "inbox/*.json", on: [created]}
        steps: [{shell: x}]
    """
    assert problems(text) == []


def test_an_input_whose_schema_is_no_schema_is_told_inside_it(only: Only) -> None:
    assert only("loop: x\ninput:\n  n: {type: strin}\nsteps: [{shell: x}]\n")[:3] == (3, 7, "bad-schema")


def test_the_schema_of_a_models_answer_is_checked_before_anything_runs_in_both_its_forms(only: Only) -> None:
    short = "loop: x\nsteps:\n  - llm: {prompt: x, schema: {n: {type: strin}}}\n"
    assert only(short)[:3] == (3, 35, "bad-schema")
    whole = "loop: x\nsteps:\n  - llm: {prompt: x, schema: {type: object, properties: {n: {enum: 3}}}}\n"
    assert only(whole)[:3] == (3, 62, "bad-schema")


@pytest.mark.parametrize("line", ["timeout: 0s", "throttle: {limit: 1, per: 0s}", "debounce: {for: 0ms}"])
def test_a_span_of_no_time_is_refused(only: Only, line: str) -> None:
    code, message = only(f"loop: x\n{line}\nsteps: [{{shell: x}}]\n")[2:]
    assert code == "bad-duration"
    assert "is no time at all" in message


def test_an_approval_that_its_timeout_gives_needs_a_default_for_each_field_of_its_form(only: Only) -> None:
    approve = "approve: {message: go, timeout: 1h, on_timeout: approve, form: {why: {type: string}}}"
    line, _, code, message = only(f"loop: x\nsteps:\n  - {approve}\n")
    assert (line, code) == (3, "missing-default")
    assert "'why' needs a default" in message


def test_a_default_has_to_fit_its_own_schema(only: Only) -> None:
    line, column, code, message = only("loop: x\ninput:\n  n: {type: integer, default: many}\nsteps: [{shell: x}]\n")
    assert (line, column, code) == (3, 22, "bad-default")
    assert "a whole number" in message


def test_a_schedule_that_cannot_give_an_input_is_a_warning(problems: Problems) -> None:
    found = problems("loop: x\ntriggers: [{every: 5m}]\ninput: {n: {type: integer}}\nsteps: [{shell: x}]\n")
    assert [(problem.code, problem.severity) for problem in found] == [("input-default-missing", "warning")]


def test_all_problems_of_a_file_come_at_once_in_the_order_of_the_lines(problems: Problems) -> None:
    found = problems("loop: X\ntimeout: 5\nsteps:\n- shel: x\n- wait: ${{ nope }}\n")
    assert [(problem.line, problem.code) for problem in found] == [
        (1, "bad-name"),
        (2, "bad-duration"),
        (4, "unknown-key"),
        (5, "unknown-name"),
    ]


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    problem = Problem("a.yaml", 2, 3, "error", "unknown-key", "unknown key 'b'")
    assert format_problem(problem, "a:\n  b: 1\n").splitlines() == [
        "a.yaml:2:3: error[unknown-key]: unknown key 'b'",
        "    2 |   b: 1",
        "      |   ^",
    ]


def test_every_code_of_the_table_is_in_use() -> None:
    room = Path(problems_module.__file__).parent
    files = [path for folder in (room, room.parent / "spec") for path in folder.rglob("*") if path.name != "problems.py"]
    text = "".join(path.read_text() for path in files if path.suffix in (".py", ".json"))
    assert [code for code in CODES if f'"{code}"' not in text] == []


@pytest.mark.parametrize(
    "step", ["- a\n", "- {}\n", "- {shell: x, wiat: 1}\n", "- {id: a, shell: x}\n", "- set: {a: '${{ nope }}'}\n"]
)
def test_a_file_with_thousands_of_problems_is_told_so_and_soon(problems: Problems, step: str) -> None:
    found = problems("loop: x\nsteps:\n" + step * 3000)
    assert len(found) == 200
    assert "more problems than can be listed" in found[0].message


@pytest.mark.parametrize(("key", "value"), [("parse", "json"), ("env", "{A: b}"), ("stdin", "x"), ("cwd", "x")])
def test_a_parameter_of_shell_both_inside_and_beside_it_is_told_at_the_second_place(steps: Only, key: str, value: str) -> None:
    said = f"'{key}' stands both inside 'shell' and beside it; the first is in line 3"  # of the whole file
    assert steps(f"- shell: {{run: x, {key}: {value}}}\n  {key}: {value}\n") == (2, 3, "duplicate-key", said)
    assert steps(f"- {key}: {value}\n  shell: {{run: x, {key}: {value}}}\n") == (2, 19, "duplicate-key", said)


def test_an_interpreter_has_nothing_to_do_with_a_list(steps: Only) -> None:
    said = "'interpreter' is what runs a script; the program of a list is its first item"
    assert steps("- shell: {run: [a, b], interpreter: bash}\n") == (1, 24, "misplaced-key", said)


@pytest.mark.parametrize(
    ("schema", "column", "word", "meant"),
    [
        ("{typ: string}", 7, "typ", "type"),
        ("{type: string, enmu: [a, b]}", 21, "enmu", "enum"),
        ("{type: integer, defualt: 3}", 22, "defualt", "default"),
        ("{type: integer, min: 1}", 22, "min", "minimum"),
        ("{type: string, maxlength: 3}", 21, "maxlength", "maxLength"),
        ("{type: object, properties: {typ: {type: string, patern: x}}}", 54, "patern", "pattern"),
        ("{anyOf: [{type: string}, {tpye: 'null'}]}", 32, "tpye", "type"),
        ("{type: array, items: {typ: string}}", 28, "typ", "type"),
    ],
)
def test_a_misspelled_keyword_of_a_schema_is_a_warning_with_the_nearest_one(
    problems: Problems, schema: str, column: int, word: str, meant: str
) -> None:
    said = f"'{word}' is no keyword of JSON Schema and has no effect; did you mean '{meant}'?"
    [found] = problems(f"loop: x\ninput:\n  n: {schema}\nsteps: [{{shell: x}}]\n")
    assert (found.line, found.column, found.severity, found.code, found.message) == (
        3, column, "warning", "unknown-keyword", said,
    )  # fmt: skip
    in_form = f"loop: x\nsteps:\n- approve:\n    message: y\n    form:\n     n: {schema}\n"
    in_model = f"loop: x\nsteps:\n- llm:\n    prompt: y\n    schema:\n     n: {schema}\n"
    for text in (in_form, in_model):
        assert [(found.line, found.message) for found in problems(text)] == [(6, said)]


def test_keywords_of_ones_own_and_of_other_dialects_are_let_be(problems: Problems) -> None:
    own = "x-typ: 1, label: q, order: 3, hint: h, hidden: true, group: g, nullable: true, example: e, id: i, secret: true"
    names = "properties: {typ: {const: 1}, defualt: {}}, examples: [{typ: 1}], default: {typ: 1}"
    assert problems(f"loop: x\ninput:\n  n: {{type: object, {own}, {names}}}\nsteps: [{{shell: x}}]\n") == []
    assert problems("loop: x\nsteps:\n  - llm: {prompt: y, schema: {typ: {type: string}, defualt: {enum: [a]}}}\n") == []
