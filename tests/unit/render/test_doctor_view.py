"""Findings for people."""

from __future__ import annotations

from agentctl.ports import Finding
from agentctl.render.doctor import finding_lines
from agentctl.render.timeline import plain

FOUND = [
    Finding("python", "ok", "Python 3.12"),
    Finding("store.disk", "error", "no room " * 12 + "left", "rm -rf\x1b /tmp/" + "x" * 60),
]


def test_each_finding_is_a_line_and_how_to_mend_it_one_below():
    lines = plain(finding_lines(FOUND)).splitlines()
    assert lines[0] == "✓ python      Python 3.12"
    assert lines[1].startswith("✗ store.disk  no room no room")
    assert lines[2].startswith("              → rm -rf\\x1b /tmp/xxx")
    assert len(lines) == 3


def test_on_a_terminal_texts_go_on_under_their_beginning_and_commands_stay_whole():
    lines = plain(finding_lines(FOUND, width=60)).splitlines()
    assert lines[2].startswith(" " * 14 + "room no room")
    assert all(len(line) <= 60 for line in lines if "/tmp/" not in line)
    assert "/tmp/" + "x" * 60 in lines[-1]
