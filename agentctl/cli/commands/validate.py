"""`agentctl validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.cli.output import INVALID, problem_blocks
from agentctl.errors import DefinitionInvalid, NotFound
from agentctl.language.project.project import FILES, FOLDERS, SUFFIXES, TEST_SUFFIXES
from agentctl.render.text import size
from agentctl.views.checks import problem_document

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.problems import Problem



def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Definitions, or folders that hold them.")],
    json: params.Json = False,
) -> int:
    """Check definitions and report every problem.

    Of a project's root, the files below loops/ and skills/ are checked; of any other folder, every YAML file below it.
    A file named *.test.yaml is checked as one of test cases, agentctl.yaml as that of a project.
    """
    files = [file for path in paths for file in definitions(Path(path))]
    found: dict[Problem, None] = {}  # each once: what is wrong with agentctl.yaml is found with every file
    places: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        problems = _problems(file)
        places.update((problem.file, file) for problem in problems if not Path(problem.file).is_absolute())
        found.update(dict.fromkeys(problems))
    wrong = sum(problem.severity == "error" for problem in found)
    if json:
        output.print_json([problem_document(problem) for problem in found])
    else:
        if found:
            output.say(problem_blocks(list(found), places))
        tail = "no problems" if not wrong else size(wrong, "problem")
        output.note(f"{size(len(set(files)), 'file')} checked, {tail}")
    return INVALID if wrong else 0


def _problems(file: Path) -> list[Problem]:
    """What is wrong with a file, or with the agentctl.yaml that it would have to be checked against."""
    from agentctl.language.load import check
    from agentctl.testing.prepare import check_test

    try:
        catalog = _catalog(file)
        if file.name in FILES:
            return []
        return check_test(file) if file.name.endswith(TEST_SUFFIXES) else check(file, catalog)
    except DefinitionInvalid as error:
        return error.problems


def _catalog(file: Path) -> Catalog:
    from agentctl.language.catalog import Catalog

    return Catalog(context.project(None, file.resolve().parent))


def definitions(path: Path) -> list[Path]:
    """The files that a PATH stands for. Raises NotFound when there are none."""
    if not path.exists():
        raise NotFound(f"no such file or folder: {path}")
    if not path.is_dir():
        return [path]
    roots = [path / name for name in FOLDERS if (path / name).is_dir()] or [path]
    files = sorted(file for root in roots for file in root.rglob("*") if _is_definition(file, root))
    if not files:
        raise NotFound(f"no YAML files below {path}")
    return files


def _is_definition(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return not hidden and file.suffix in SUFFIXES and file.name not in FILES and file.is_file()
