"""`agentctl validate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import output, params, place
from agentctl.errors import NotFound
from agentctl.render.text import cut, size, visible

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.problems import Problem

_SUFFIXES = (".yaml", ".yml")
_INVALID = 2
_READ = 1 << 20  # bytes of a file from which source lines are shown
_WIDEST = 300  # columns of a line that is shown


def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Definitions, or folders that hold them.")],
    json: params.Json = False,
) -> int:
    """Check definitions and report every problem.

    Of a project's root, the files below loops/ and skills/ are checked; of any other folder, every YAML file below it.
    A file named *.test.yaml is checked as one of test cases.
    """
    from agentctl.language.cases import SUFFIX
    from agentctl.language.load import check
    from agentctl.testing.prepare import check_test

    files = [file for path in paths for file in definitions(Path(path))]
    found: list[Problem] = []
    places: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        problems = check_test(file) if file.name.endswith(SUFFIX) else check(file, _catalog(file))
        places.update((problem.file, file) for problem in problems)
        found.extend(problems)
    wrong = sum(problem.severity == "error" for problem in found)
    if json:
        output.print_json([problem_document(problem) for problem in found])
    else:
        if found:
            output.say(problem_blocks(found, places))
        tail = "no problems" if not wrong else size(wrong, "problem")
        output.note(f"{size(len(set(files)), 'file')} checked, {tail}")
    return _INVALID if wrong else 0


def _catalog(file: Path) -> Catalog:
    from agentctl.language.catalog import Catalog

    return Catalog(place.project(None, file.resolve().parent))


def definitions(path: Path) -> list[Path]:
    """The files that a PATH stands for. Raises NotFound when there are none."""
    if not path.exists():
        raise NotFound(f"no such file or folder: {path}")
    if not path.is_dir():
        return [path]
    roots = [path / name for name in ("loops", "skills") if (path / name).is_dir()] or [path]
    files = sorted(file for root in roots for file in root.rglob("*") if _is_definition(file, root))
    if not files:
        raise NotFound(f"no YAML files below {path}")
    return files


def _is_definition(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return not hidden and file.suffix in _SUFFIXES and file.stem != "agentctl" and file.is_file()


def problem_document(problem: Problem) -> dict[str, str | int]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
    }


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
