"""`agentctl test` as people use it: exit codes, what is printed, files written from recorded runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FROM_OUTSIDE = {"open-orders.test.yaml"}  # needs the package of its example: tests/examples/test_sqlite_action.py
SHIPPED = sorted(
    file
    for pattern in ("examples/*/tests/*.test.yaml", "tests/definitions/*.test.yaml")
    for file in REPOSITORY.glob(pattern)
    if file.name not in FROM_OUTSIDE
)
PAGE = (REPOSITORY / "docs" / "testing.md").read_text(encoding="utf-8")

LOOP = """
loop: greet
input: {name: {type: string, default: world}}
steps:
  - id: who
    shell: [echo, "${{ input.name }}"]
  - set: {greeting: "Hello, ${{ steps.who.output }}"}
"""
GOOD = """
test: greet
cases:
  - case: it greets
    mocks: {who: {output: Ada}}
    expect: {output: {greeting: "Hello, Ada"}}
"""


@pytest.fixture
def greet(project):
    project.write("loops/greet.yaml", LOOP)
    project.write("tests/greet.test.yaml", GOOD)
    return project


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_tests_of_what_ships_pass_with_every_crash(agentctl, file, install):
    if (file.parents[1] / "pyproject.toml").exists() and file.parents[2].name == "examples":
        install(file.parents[1])
    result = agentctl("test", file, "--crash-everywhere", "--json")
    document = result.json
    assert (result.code, document["failed"], document["problems"]) == (0, 0, [])
    assert sum(case["crashes"] for case in document["cases"]) > 0


def test_every_example_and_every_definition_that_ships_has_a_test():
    tested = " ".join(file.read_text(encoding="utf-8").split("\n", 1)[0] for file in SHIPPED)
    examples = [file.stem for file in REPOSITORY.glob("examples/*/*.yaml") if file.stem != "agentctl"]
    names = [*examples, "answer-tickets", "infra-health-check", "incident-triage"]
    assert [name for name in names if name not in tested] == []


def test_the_page_on_testing_shows_a_file_that_passes(agentctl, project):
    [loop, test] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    project.write("loops/chase.yaml", loop)
    project.write("tests/chase.test.yaml", test)
    result = agentctl("test", "--crash-everywhere")
    assert (result.code, result.err.split(" in ")[0]) == (0, "4 passed")


def test_the_page_on_testing_names_every_key():
    from agentctl.language.cases import schema

    shapes = schema()["$defs"]
    keys = {key for name in ("case", "expect", "outcome", "expectedStep") for key in shapes[name]["properties"]}
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE and not re.search(rf"[{{ ,]{key}[,:}} ]", PAGE)] == []


def test_without_a_path_the_tests_of_the_project_are_played(agentctl, greet):
    result = agentctl("test")
    assert result.code == 0
    assert re.fullmatch(r"tests/greet\.test\.yaml::it greets PASSED \(\d+ ms\)\n", result.out)
    assert re.fullmatch(r"1 passed in \S+\n", result.err)


def test_a_case_that_fails_is_shown_with_the_place_of_its_expectation(agentctl, greet):
    greet.write("tests/greet.test.yaml", GOOD.replace("Hello, Ada", "Hullo, Ada"))
    result = agentctl("test")
    assert result.code == 1
    assert "tests/greet.test.yaml::it greets FAILED" in result.out
    assert (
        "  tests/greet.test.yaml:5:14: run: output\n"
        '      expected  {"greeting": "Hullo, Ada"}\n'
        '      got       {"greeting": "Hello, Ada"}\n'
        "  steps: who succeeded, set_2 succeeded\n"
    ) in result.out
    assert result.err.startswith("1 failed in ") or result.err.startswith("0 passed, 1 failed in ")


def test_an_invalid_file_is_told_and_the_others_are_played_all_the_same(agentctl, greet):
    greet.write("tests/other.test.yaml", "test: great\ncases: [{case: x}]\n")
    result = agentctl("test", "tests")
    assert result.code == 2
    assert "::it greets PASSED" in result.out
    assert "tests/other.test.yaml:1:1: error[unknown-definition]" in result.out
    assert "did you mean 'greet'?" in result.out


def test_json_is_one_document(agentctl, greet):
    greet.write("tests/bad.test.yaml", "test: greet\ncases: [{case: x, moks: {}}]\n")
    greet.write("tests/fails.test.yaml", GOOD.replace("expect:", "expect: {status: failed}\n    #"))
    result = agentctl("test", "--json")
    document = result.json
    assert (result.code, document["passed"], document["failed"]) == (2, 1, 1)
    assert [problem["code"] for problem in document["problems"]] == ["unknown-key"]
    [failed] = [case for case in document["cases"] if case["outcome"] == "failed"]
    assert (failed["file"], failed["line"]) == ("tests/fails.test.yaml", 3)
    [failure] = failed["failures"]
    assert (failure["what"], failure["expected"], failure["got"]) == ("run: status", "failed", "succeeded")


def test_where_there_are_no_tests_it_says_so(agentctl, project):
    assert agentctl("test").code == 4
    (project.root / "tests").mkdir()
    result = agentctl("test")
    assert (result.code, "no files named *.test.yaml below" in result.err) == (4, True)
    assert agentctl("test", "nowhere.test.yaml").code == 4


def test_playing_leaves_no_store_behind(agentctl, greet):
    assert agentctl("test", "--crash-everywhere").code == 0
    assert not greet.store.parent.exists()


def test_validate_checks_test_files_as_such(agentctl, greet):
    assert agentctl("validate", "tests/greet.test.yaml").code == 0
    greet.write("tests/greet.test.yaml", GOOD.replace("who:", "wo:"))
    result = agentctl("validate", "tests/greet.test.yaml", "--json")
    assert [(problem["line"], problem["code"]) for problem in result.json] == [(4, "unknown-step")]


RECORDED = """
loop: recorded
steps:
  - id: flaky
    retry: {attempts: 3, delay: 10ms}
    shell: test "$AGENTCTL_ATTEMPT" -ge 2 && printf 'two\\n  lines\\n'
  - id: each
    foreach: [a, b]
    steps:
      - {id: same, shell: [echo, same]}
      - {id: own, env: {KEY: "${{ secrets.KEY }}", ITEM: "${{ item }}"}, shell: 'echo "$ITEM $KEY"'}
  - {id: ask, skill: small, with: {n: 2}}
  - {id: guarded, shell: "exit 4", fallback: [{id: instead, shell: [echo, plan b]}]}
output: [{same: "${{ steps.each.output }}"}, "${{ steps.ask.output }}", "${{ steps.guarded.status }}"]
"""


def test_a_recorded_run_becomes_a_test_that_passes(agentctl, project):
    project.write("loops/recorded.yaml", RECORDED)
    project.write("skills/small.yaml", "skill: small\ninput: {n: {type: integer}}\nsteps: [{shell: [echo, x]}]\n")
    assert agentctl("run", "recorded", env={"KEY": "hunter2-hunter2"}).code == 0
    result = agentctl("test", "--record", "last", "--crash-everywhere")
    assert result.code == 0, result.out + result.err
    [file] = (project.root / "tests").glob("recorded-*.test.yaml")
    text = file.read_text(encoding="utf-8")
    assert "hunter2" not in text
    assert "each[*].same:\n      output: same" in text
    assert "each[1].own:\n      output: b ***" in text
    assert re.search(r"flaky:\n    - error:\n        type: shell.exit\n.*\n.*\n.*\n.*\n    - output: \|-\n        two\n", text)
    again = agentctl("test", "--record", "last")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_a_run_that_failed_was_answered_or_was_cancelled_is_recorded_too(agentctl, project):
    project.write("loops/fails.yaml", "loop: fails\nsteps: [{id: a, shell: 'echo no >&2; exit 3'}, {id: b, shell: x}]\n")
    assert agentctl("run", "fails").code == 1
    assert agentctl("test", "--record", "last", "tests/f.test.yaml").code == 0
    assert "type: shell.exit\n      step: a\n" in (project.root / "tests/f.test.yaml").read_text()

    project.write("loops/signs.yaml", "loop: signs\nsteps: [{id: sign, approve: Pay}, {id: pay, shell: [echo, paid]}]\n")
    assert agentctl("run", "signs", "--no-wait").code == 3
    assert agentctl("test", "--record", "last", "tests/w.test.yaml").code == 0
    assert "status: waiting" in (project.root / "tests/w.test.yaml").read_text()


def test_a_recording_knows_the_secrets_that_the_run_had(agentctl, project):
    said = "loop: s\nsteps:\n  - {id: a, env: {T: '${{ secrets.T }}'}, shell: 'echo $T'}\n"
    project.write("loops/s.yaml", said + "  - {id: b, env: {T: \"${{ secrets.T | default('d') }}\"}, shell: 'echo $T'}\n")
    assert agentctl("run", "s", env={"T": "hunter2-hunter2"}).code == 0
    result = agentctl("test", "--record", "last", "tests/s.test.yaml")
    assert result.code == 0, result.out
    assert "  secrets:\n    T: '***'\n" in (project.root / "tests/s.test.yaml").read_text()


def test_a_run_between_two_attempts_is_not_recorded_for_nobody_knows_what_comes_next(agentctl, project):
    project.write("loops/r.yaml", "loop: r\nsteps: [{id: a, shell: exit 3, retry: {attempts: 2, delay: 1h}}]\n")
    assert agentctl("run", "r", "--no-wait").code == 3
    result = agentctl("test", "--record", "last")
    assert (result.code, "has not ended" in result.err) == (2, True)


def test_a_large_output_is_cut_and_the_file_says_so(agentctl, project):
    project.write("loops/large.yaml", "loop: large\nsteps: [{id: much, shell: 'seq 1 9000'}, {set: {a: 1}}]\n")
    assert agentctl("run", "large").code == 0
    assert agentctl("test", "--record", "last", "tests/l.test.yaml").code == 0
    text = (project.root / "tests/l.test.yaml").read_text()
    assert text.startswith("# Large outputs were cut: much\n")
    assert "characters)" in text
    assert len(text) < 4000


def test_a_large_event_is_cut_too(agentctl, project):
    text = "loop: w\nsteps:\n  - {id: w, wait: {event: big, timeout: 1m}}\n  - {id: n, set: {n: ok}}\n"
    project.write("loops/w.yaml", text)
    assert agentctl("run", "w", "--no-wait").code == 3
    assert agentctl("send", "big", "-d", '{"x": "' + "y" * 20000 + '"}').code == 0
    assert agentctl("resume", "last").code == 0
    result = agentctl("test", "--record", "last", "tests/w.test.yaml")
    assert result.code == 0, result.out
    assert (project.root / "tests/w.test.yaml").read_text().startswith("# Large outputs were cut: event big\n")


def test_a_recording_needs_a_name_for_test_files(agentctl, project):
    assert agentctl("test", "--record", "last", "x.yaml").code == 2
    assert agentctl("test", "--record", "last").code == 4
