"""The grammar of step paths."""

from __future__ import annotations

import pytest

from agentctl import paths

PATHS = [
    "fetch",
    "group@2.step",
    "each[2].probe",
    "each@3[2].probe",
    "charge.undo",
    "charge.probe.look",
    "assess.fallback@2.rule",
    "on_failure@2.notify",
    "investigate.turn[3].call[0]",
    "find@2.turn[3].call[0].undo",
    "find.compact[0]",
    "find.deferred[0]",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_taken_apart_and_joined_is_the_same(path: str) -> None:
    assert paths.format_path(paths.parse_path(path)) == path


def test_the_parts_of_a_path_name_id_round_and_number() -> None:
    assert paths.parse_path("g@2.each[3].send") == (paths.Part("g", 2), paths.Part("each", 1, 3), paths.Part("send"))
    assert paths.parse_path("each[*].*") == (paths.Part("each", 1, "*"), paths.Part("*"))


@pytest.mark.parametrize("text", ["", "a..b", "a[", "A", "a[x]", "a@b", "a-b", "a[1]x"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no part of a step's path"):
        paths.parse_path(text)


def test_the_idempotency_key_is_the_same_in_every_round() -> None:
    assert paths.idempotency_key("sim", "g@2.each[3].send") == "sim/g.each[3].send"
    assert paths.idempotency_key("sim", "find@2.turn[3].call[0]") == "sim/find.turn[3].call[0]"


def test_a_declared_path_has_neither_rounds_nor_numbers() -> None:
    assert paths.declared_path("g@2.each[3].send") == "g.each.send"
    assert paths.declared_path("find.turn[3].call[0]") == "find.turn.call"


def test_each_parent_holds_the_path_below_it() -> None:
    path, found = "g@2.each[3].send", []
    while path:
        path = paths.parent_path(path)
        found.append(path)
    assert found == ["g@2.each[3]", "g@2.each", "g@2", "g", ""]
    assert list(paths.holders("g@2.each[3].send")) == ["g@2", "g@2.each", "g@2.each[3]"]


def test_an_iteration_belongs_to_its_step_in_every_round() -> None:
    assert (paths.repeated_step("poll[3]"), paths.repeated_step("g@2.poll@4[3]")) == ("poll", "g@2.poll")


def test_the_round_at_the_end_of_a_path_is_split_off() -> None:
    assert paths.split_round("g@2") == ("g", 2)
    assert paths.split_round("g@2.each@3") == ("g.each", 3)
    assert paths.split_round("g@2.send") == ("g.send", 1)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("each[*].send", "each[12].send", True),
        ("each[*].send", "each[12].sends", False),
        ("find.turn[*].call[*]", "find.turn[3].call[0]", True),
        ("*.send", "group.send", True),
        ("*.send", "group.inner.send", False),
        ("group.send", "group@2.send", True),
        ("group@2.send", "group.send", False),
    ],
)
def test_a_pattern_fits_paths_of_the_same_shape(pattern: str, path: str, fits: bool) -> None:
    assert bool(paths.matcher(pattern)(path)) is fits
