"""`agentctl validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.cli.output import INVALID
from agentctl.errors import DefinitionInvalid
from agentctl.language.project.project import FILES, TEST_SUFFIXES
from agentctl.render.text import size
from agentctl.views.checks import problem_document

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.problems import Problem



EXAMPLES = ("agentctl validate", "agentctl validate loops/report.yaml --json")


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Definitions, or folders that hold them. Default: the project.")
    ] = None,
    json: params.Json = False,
) -> int:
    """Check definitions and report every problem.

    In a project's root, the files below loops/ and skills/ are checked; in any other folder, every YAML file below it.
    A file named *.test.yaml is checked as one of test cases, agentctl.yaml as that of a project.
    """
    named = map(Path, paths) if paths else [context.project(None).root]
    files = list(dict.fromkeys(file for path in named for file in context.definition_files(path)))
    found: dict[Problem, None] = {}  # each once: a problem of agentctl.yaml is found with every file
    places: dict[str, Path] = {}
    for file in files:
        problems = _problems(file)
        places.update((problem.file, file) for problem in problems if not Path(problem.file).is_absolute())
        found.update(dict.fromkeys(problems))
    wrong = sum(problem.severity == "error" for problem in found)
    if json:
        output.print_json([problem_document(problem) for problem in found])
    else:
        if found:
            output.say(output.problem_blocks(list(found), places))
        output.note(f"{size(len(files), 'file')} checked, {size(wrong, 'problem') if wrong else 'no problems'}")
    return INVALID if wrong else 0


def _problems(file: Path) -> list[Problem]:
    """Return the problems of a file, or of the agentctl.yaml that it is checked against."""
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

    used = context.project(None, file.resolve().parent)
    return Catalog(used, context.set_secrets(used))
