"""Text that is not the YAML we take, and what is said about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentctl.language.problems import Problem
from agentctl.language.yaml.reader import read_bytes, read_file, read_text


def the_problem(text: str) -> tuple[int, int, str]:
    source = read_text(text)
    assert len(source.problems) == 1
    problem = source.problems[0]
    return problem.line, problem.column, problem.code


@pytest.mark.parametrize(
    ("text", "line", "column", "code"),
    [
        ("a: [1\nb: 2", 1, 4, "yaml-syntax"),
        ("a: {b: c", 1, 4, "yaml-syntax"),
        ("a: b: c", 1, 5, "yaml-syntax"),
        ("a: 'abc\n", 1, 4, "yaml-syntax"),
        ("a: @x", 1, 4, "yaml-syntax"),
        ("a: x\x01", 1, 5, "yaml-syntax"),
        ("a: *x", 1, 4, "alias"),
        ("a: &a [*a]", 1, 8, "alias"),
        ("a: 1\n---\nb: 2", 2, 1, "yaml-unsupported"),
        ("1: 2", 1, 1, "yaml-unsupported"),
        ("? [a]\n: b", 1, 3, "yaml-unsupported"),
        ("a: !foo x", 1, 4, "yaml-unsupported"),
        ("a: !!python/object x", 1, 4, "yaml-unsupported"),
        ("x: 1\nx: 2", 2, 1, "duplicate-key"),
        ("a: .nan", 1, 4, "wrong-value"),
        ("a: -.INF", 1, 4, "wrong-value"),
        ("a: 1e999", 1, 4, "too-large"),
        ("a: 99999999999999999999", 1, 4, "too-large"),
        ("", 1, 1, "empty"),
        ("# nothing\n", 1, 1, "empty"),
        ("a: 1\nb: <<\nc: {<<: 3}", 3, 5, "yaml-unsupported"),
    ],
)
def test_each_mistake_is_told_once_at_its_place(text: str, line: int, column: int, code: str) -> None:
    assert the_problem(text) == (line, column, code)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{a: ready?, b: 1}", {"a": "ready?", "b": 1}),
        ("a: [b?c, d?]", {"a": ["b?c", "d?"]}),
        ("a: {url: http://x}", {"a": {"url": "http://x"}}),
        ("a: 1\n---\n", {"a": 1}),
        ("a: 1\n...\n--- # the end\n", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_what_yaml_1_2_allows_is_taken_though_the_quick_parser_refuses_it(text: str, data: object) -> None:
    source = read_bytes(text.encode(), "x.yaml")
    assert source.data == data
    assert source.problems == []


@pytest.mark.parametrize("end", ["---\n---\n", "---\nb: 2\n", "--- x\n", "--- ''\n"])
def test_a_second_document_that_is_not_empty_is_refused(end: str) -> None:
    assert the_problem("a: 1\n" + end) == (2, 1, "yaml-unsupported")


@pytest.mark.parametrize(
    "line",
    [
        "max: .inf", "max: 1e999", "max: 99999999999999999999", "max: !!int 5", "max: !mine {a: 1}", "max: *nowhere",
        "max: {{ x }}", "5: x", "!mine max: 5", "<<: 5", "a: 1\n---\nb: 1",
    ],
)  # fmt: skip
def test_what_yaml_has_and_we_do_not_take_hides_nothing_else_of_the_file(
    line: str, problems: Callable[[str], list[Problem]]
) -> None:
    found = problems("loop: x\nsteps:\n  - repeat: {until: last, mx: 1}\n    steps: [{set: {a: 1}, tmeout: 1s}]\n" + line)
    assert [(problem.line, problem.code) for problem in found if problem.line < 5] == [(3, "unknown-key"), (4, "unknown-key")]
    assert len([problem for problem in found if problem.line >= 5 and problem.code != "unknown-key"]) == 1


def test_a_value_that_cannot_be_taken_is_told_once_and_not_judged_by_what_stands_in_for_it(
    problems: Callable[[str], list[Problem]],
) -> None:
    text = """
    loop: x
    timeout: .inf
    input: {n: {type: integer, default: .nan}, m: {type: integer, maximum: 1e999}, 1: {type: string}}
    steps:
      - http: {url: {{ address }}, max_bytes: !!int 5}
      - skill: *which
    """
    found = problems(text)
    assert [problem.line for problem in found] == [2, 3, 3, 3, 5, 5, 6]
    assert {problem.code for problem in found} == {"wrong-value", "too-large", "yaml-unsupported", "alias"}


@pytest.mark.parametrize("line", ["a: .inf", "a: 1", "? [a]\n: b"])
def test_a_file_with_more_such_problems_than_anybody_reads_is_given_up(line: str) -> None:
    assert read_text("\n".join([line] * 500)).problems[-1].message == "there are more problems than can be listed"


@pytest.mark.parametrize("text", ["a: 1\nif: 'x' == input.y\n", "if: 'x' | upper\n", '- if: "x" in input.y\n'])
def test_an_expression_that_begins_with_a_quote_is_told_to_need_quotes_around_it(text: str) -> None:
    assert "put the whole value in quotes" in read_text(text).problems[0].message


def test_a_tab_is_told_to_be_a_tab() -> None:
    source = read_text("a:\n\t- x")
    assert source.problems[0].line == 2
    assert "tabs" in source.problems[0].message


def test_words_of_yaml_1_1_and_dates_are_text() -> None:
    text = "a: on\nb: yes\nc: 2026-01-01\nd: 0o14\ne: 012\nf: 1_000\ng: 12:30\nh: '1'\ni: !!str 1\nj: ~\nk: 1e3"
    expected = ["on", "yes", "2026-01-01", 12, 12, "1_000", "12:30", "1", "1", None, 1000.0]
    assert list(read_text(text).data.values()) == expected


def test_merge_keys_give_way_to_what_is_written() -> None:
    data = read_text("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}").data
    assert data["c"] == {"x": 9, "y": 2, "z": 4}


def test_ten_megabytes_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: b\n" * 2_000_000)
    began = time.perf_counter()
    source = read_file(path)
    assert time.perf_counter() - began < 0.1
    assert [problem.code for problem in source.problems] == ["too-large"]


def test_an_alias_bomb_is_counted_before_it_explodes() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    assert the_problem(bomb)[2] == "too-large"


def test_a_long_text_repeated_by_aliases_is_counted_too() -> None:
    assert the_problem(f"a: &a '{'x' * 100_000}'\nb: [{'*a, ' * 99_000}]\n")[2] == "too-large"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_a_hundred_thousand_levels_are_refused_and_the_process_lives(opening: str) -> None:
    source = read_text(opening * 100_000)
    assert [problem.code for problem in source.problems] == ["too-large"]


def test_aliases_cannot_nest_deeper_than_the_text_may() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 80))
    assert the_problem(text)[2] == "too-large"


def test_a_binary_file_is_called_one() -> None:
    assert "binary" in read_bytes(b"\x7fELF\0\0\1", "x").problems[0].message


def test_text_that_is_not_utf_8_is_told_with_its_place() -> None:
    problem = read_bytes(b"a: 1\nb: \xff\xfe", "x").problems[0]
    assert (problem.line, problem.column, problem.code) == (2, 4, "not-text")


def test_a_byte_order_mark_and_dos_line_ends_are_no_problem() -> None:
    source = read_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "x")
    assert source.data == {"a": 1, "b": 2}
    assert source.at(("b",)) == (2, 1)


def test_a_folder_is_told_to_be_unreadable(tmp_path: Path) -> None:
    assert [problem.code for problem in read_file(tmp_path).problems] == ["unreadable"]


@pytest.mark.parametrize(
    "text",
    [
        "a: x ${{ y",
        "a: 'x ''q'' ${{ y'",
        'a: "e\\"s \\n ${{ y"',
        "a: |\n  one\n    two ${{ y",
        "a: >\n  fold\n  this ${{ y",
        "a: plain\n  goes on ${{ y",
    ],
)
def test_a_place_inside_a_text_is_found_in_every_style(text: str) -> None:
    source = read_text(text)
    line, column = source.inside(("a",), source.data["a"].index("${{"))
    assert source.lines[line - 1][column - 1 :].startswith("${{")


def test_a_plain_value_inside_braces_may_hold_colons() -> None:
    source = read_text("a: {url: http://x/y, at: 12:30:00}\nb: [c:d]\nb: 1\n")
    assert source.data == {"a": {"url": "http://x/y", "at": "12:30:00"}, "b": ["c:d"]}
    assert source.at(("a", "at")) == (1, 22)
    assert [problem.code for problem in source.problems] == ["duplicate-key"]


def test_a_file_with_such_a_value_and_a_mistake_is_told_the_mistake() -> None:
    assert "needs quotes inside { }" in read_text("a: {url: http://x, b: c: d}").problems[0].message
    source = read_text("a: {url: http://x}\nb: " + "[" * 50_000)
    assert [problem.code for problem in source.problems] == ["too-large"]
