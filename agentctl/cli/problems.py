"""Problems of definitions and test files, as commands show them: each with its source line, or as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.render.text import cut, visible

if TYPE_CHECKING:
    from agentctl.language.problems import Problem

_READ = 1 << 20  # bytes of a file from which source lines are shown
_WIDEST = 300  # columns of a line that is shown


def problem_blocks(problems: Sequence[Problem], files: Mapping[str, Path] | None = None) -> str:
    """Every problem with its source line and a caret under the place. `files`: where to read what a problem calls its file."""
    from agentctl.language.problems import format_problem

    texts: dict[str, str] = {}
    for problem in problems:
        if problem.code == "not-text":  # whose first line would be noise
            texts[problem.file] = ""
        elif problem.file not in texts:
            texts[problem.file] = _text((files or {}).get(problem.file, Path(problem.file)))
    blocks = [format_problem(problem, texts[problem.file]) for problem in problems]
    return "\n".join(cut(visible(line, lines=True), _WIDEST) for block in blocks for line in block.split("\n"))


def _text(path: Path) -> str:
    """The file's text, as far as it is worth showing."""
    try:
        with path.open("rb") as file:
            return file.read(_READ).decode("utf-8", "replace")
    except OSError:
        return ""
