"""`approve: {edit}` of a tool that is no list is a problem of the file."""

from __future__ import annotations

import pytest

from agentctl.errors import DefinitionInvalid
from agentctl.language.load import load_text


def test_edit_that_is_no_list_is_said():
    tool = "{name: pay, args: {n: {type: integer}}, approve: {edit: true}, shell: [echo, hi]}"
    with pytest.raises(DefinitionInvalid, match="edit"):
        load_text(f"loop: a\nsteps:\n  - agent: {{goal: g, tools: [{tool}]}}\n", "a.yaml")
