"""What a `shell` step runs. A script is never a template: a value that reached it could be run as code."""

from __future__ import annotations

import re
from typing import Any

from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path
from agentctl.spec.processes import SHELL

_OPEN = re.compile(r"(?<!\$)\$\{\{")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_ADVICE = "a script takes no ${{ }}: pass the value by 'env: {NAME: ${{ ... }}}' and write \"$NAME\" in the script"


def check_shell(source: Source, path: Path, step: dict[str, Any]) -> None:
    """Report what is wrong with the `shell` of the step at `path`."""
    shell = step["shell"]
    if not isinstance(shell, dict):
        _check_script(source, (*path, "shell"), shell)
        return
    _check_script(source, (*path, "shell", "run"), shell.get("run"))
    for key in SHELL.beside:
        if key in shell and key in step:
            first, second = sorted([source.at((*path, "shell", key)), source.at((*path, key))])
            message = f"'{key}' stands both inside 'shell' and beside it; the first is in line {first[0]}"
            source.report(second, "duplicate-key", message)
    if "interpreter" in shell and isinstance(shell.get("run"), list):
        message = "'interpreter' is what runs a script; the program of a list is its first item"
        source.report(source.at((*path, "shell", "interpreter")), "misplaced-key", message)


def _check_script(source: Source, path: Path, shell: Any) -> None:
    """Report every expression inside a script, and as a warning those inside the script argument of `[sh, -c, ...]`."""
    if isinstance(shell, str):
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
