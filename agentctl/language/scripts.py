"""A script is never a template: a value that reached it could be run as code."""

from __future__ import annotations

import re
from typing import Any

from agentctl.language.nodes import Path
from agentctl.language.source import Source

_OPEN = re.compile(r"(?<!\$)\$\{\{")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_ADVICE = "a script takes no ${{ }}: pass the value by 'env: {NAME: ${{ ... }}}' and write \"$NAME\" in the script"


def check_shell(source: Source, path: Path, shell: Any) -> None:
    """Report every expression inside a script, and as a warning those inside the script argument of `[sh, -c, ...]`."""
    if isinstance(shell, dict):
        check_shell(source, (*path, "run"), shell.get("run"))
    elif isinstance(shell, str):
        for match in _OPEN.finditer(shell):
            source.report(source.inside(path, match.start()), "script-template", _ADVICE)
    elif isinstance(shell, list):
        for index in _scripts(shell):
            for match in list(_OPEN.finditer(shell[index]))[:1]:
                place = source.inside((*path, index), match.start())
                message = "this value becomes part of a script and could be run as code; pass it by 'env'"
                source.report(place, "script-template", message, "warning")


def _scripts(argv: list[Any]) -> list[int]:
    """Where in an argv a script stands: after the -c of a shell."""
    if not argv or not isinstance(argv[0], str) or argv[0].rsplit("/", 1)[-1] not in _SHELLS:
        return []
    for index, word in enumerate(argv[1:-1], 1):
        if isinstance(word, str) and re.fullmatch(r"-[a-z]*c", word):
            return [index + 1] if isinstance(argv[index + 1], str) else []
    return []
