"""`agentctl doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.cli import context, output, params
from agentctl.cli.output import FAILED
from agentctl.errors import AgentctlError, DefinitionInvalid, NotFound
from agentctl.language.project.project import FOLDERS
from agentctl.ports import Finding
from agentctl.render.text import size

if TYPE_CHECKING:
    from agentctl.language.project.project import Project

_CALLS_A_MODEL = ("llm", "agent")


def command(db: params.Db = None, json: params.Json = False) -> int:
    """Check the installation, the store, the definitions and the models, and say how to fix what is wrong.

    Exit code 1 when there is an error; warnings alone are no failure.
    """
    findings = list(_findings(db))
    from agentctl.render import doctor
    from agentctl.views.checks import finding_document

    if json:
        output.print_json([finding_document(finding) for finding in findings])
    else:
        from agentctl.render.timeline import coloured, plain

        output.show(
            lambda: plain(doctor.finding_lines(findings)),
            lambda screen: coloured(doctor.finding_lines(findings, width=screen.width), fold=True),
        )
        counts = {status: sum(finding.status == status for finding in findings) for status in ("error", "warning")}
        output.note(", ".join(size(count, status) for status, count in counts.items() if count) or "all is well")
    return FAILED if any(finding.status == "error" for finding in findings) else 0


def _findings(db: str | None) -> Iterator[Finding]:
    from agentctl.cli.doctor import environment, runs
    from agentctl.wiring import examine_models, examine_store

    yield from environment.examine()
    try:
        project = context.project(db)
    except DefinitionInvalid as error:  # without it neither the store nor the models can be found
        yield from (Finding("project", "error", str(problem), "fix that line of agentctl.yaml") for problem in error.problems)
        return
    yield _project(project)
    yield from examine_store(project.store_path)
    files = _files(project.root)
    yield from _definitions(project, files)
    yield from runs.examine(project)
    yield from examine_models(project, needed=any(_calls_a_model(file) for file in files))


def _project(project: Project) -> Finding:
    if project.file is None:
        message = (
            f"{project.root} has no agentctl.yaml; it is taken for the project because of the folders in it, or for want of one"
        )
        return Finding("project", "ok", message)
    return Finding("project", "ok", str(project.file))


def _files(root: Path) -> list[Path]:
    """The definitions of a project; elsewhere than in its two folders there are none."""
    from agentctl.cli.commands.validate import definitions

    if not any((root / name).is_dir() for name in FOLDERS):
        return []
    try:
        return definitions(root)
    except NotFound:
        return []


def _definitions(project: Project, files: Iterable[Path]) -> Iterator[Finding]:
    """One finding for each file that has problems, or one for all of them."""
    from agentctl.language.catalog import Catalog
    from agentctl.language.load import check

    catalog = Catalog(project)
    count = troubled = 0
    for file in files:
        count += 1
        problems = check(file, catalog)
        errors = [problem for problem in problems if problem.severity == "error"]
        if not problems:
            continue
        troubled += 1
        first, *more = errors or problems
        tail = f" (and {len(more)} more)" if more else ""
        fix = f"agentctl validate {catalog.shown(file)} shows the lines"
        yield Finding("definitions", "error" if errors else "warning", f"{first}{tail}", fix)
    if not troubled:
        yield Finding("definitions", "ok", f"{size(count, 'definition')} checked, no problems")


def _calls_a_model(file: Path) -> bool:
    """Whether any step of a valid definition does."""
    from agentctl.core.graph import action_names
    from agentctl.language.load import load

    try:
        definition = load(file).definition
    except AgentctlError:
        return False
    return any(action in _CALLS_A_MODEL for action in action_names(definition).values())
