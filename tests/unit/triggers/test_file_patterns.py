"""Which files a pattern means."""

from __future__ import annotations

import pytest

from agentctl.triggers.file_patterns import file_pattern


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("inbox/*.json", "inbox/a.json", True),
        ("inbox/*.json", "inbox/a.txt", False),
        ("inbox/*.json", "inbox/deep/a.json", False),
        ("inbox/*.json", "a.json", False),
        ("inbox/*.json", "other/inbox/a.json", False),
        ("inbox/*.json", "inbox/.a.json", False),
        ("inbox/.*.json", "inbox/.a.json", True),
        ("*.json", "a.json", True),
        ("./inbox/*.json", "inbox/a.json", True),
        ("inbox/**/*.json", "inbox/a.json", True),
        ("inbox/**/*.json", "inbox/b/c/a.json", True),
        ("inbox/**/*.json", "inbox/.b/c/a.json", False),
        ("inbox/**", "inbox/a.json", True),
        ("inbox/**", "inbox/b/a", True),
        ("inbox/**", "inbox", False),
        ("**/a.json", "a.json", True),
        ("**/b/**/a.json", "x/b/y/z/a.json", True),
        ("**/b/**/a.json", "x/y/z/a.json", False),
        ("**", ".env", False),
        ("**/.env", "a/.env", True),
        ("in?ox/[ab].json", "inbox/a.json", True),
        ("in?ox/[!ab].json", "inbox/a.json", False),
        ("inbox/a.json", "inbox/a.json", True),
        ("inbox/A.json", "inbox/a.json", False),
        ("inbox/a+(b).json", "inbox/a+(b).json", True),
    ],
)
def test_stars_match_within_a_part_and_two_of_them_any_number_of_parts(pattern: str, path: str, matches: bool) -> None:
    assert file_pattern(pattern).matches(path) is matches


@pytest.mark.parametrize(
    ("pattern", "base", "depth"),
    [
        ("*.json", "", 0),
        ("inbox/*.json", "inbox", 0),
        ("a/b/c.json", "a/b", 0),
        ("a/*/c.json", "a", 1),
        ("a/*/b/*/c.json", "a", 3),
        ("a/**/c.json", "a", None),
        ("**", "", None),
    ],
)
def test_a_pattern_says_where_its_files_can_lie(pattern: str, base: str, depth: int | None) -> None:
    assert (file_pattern(pattern).base, file_pattern(pattern).depth) == (base, depth)
