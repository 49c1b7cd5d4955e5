"""What `agentctl doctor` reports about the project: its root, its definitions, the secrets that they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.cli import context
from agentctl.errors import AgentctlError, NotFound
from agentctl.language.project.project import FOLDERS
from agentctl.ports import Finding
from agentctl.render.text import size

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.model import Definition

_CALLS_A_MODEL = ("llm", "agent")


def examine_root(project: Project) -> Finding:
    if project.file is None:
        message = f"{project.root} has no agentctl.yaml; it is the project because of its folders, or for lack of another"
        return Finding("project", "ok", message)
    return Finding("project", "ok", str(project.file))


def files(root: Path) -> list[Path]:
    """Return the definitions of a project; without its two folders there are none."""
    if not any((root / name).is_dir() for name in FOLDERS):
        return []
    try:
        return context.definition_files(root)
    except NotFound:
        return []


def examine_files(project: Project, found: Sequence[Path]) -> Iterator[Finding]:
    """Return one finding for each file that has problems, or one for all of them."""
    from agentctl.language.catalog import Catalog
    from agentctl.language.load import check

    catalog = Catalog(project)
    troubled = False
    for file in found:
        problems = check(file, catalog)
        if not problems:
            continue
        troubled = True
        errors = [problem for problem in problems if problem.severity == "error"]
        first, *more = errors or problems
        tail = f" (and {len(more)} more)" if more else ""
        fix = f"agentctl validate {catalog.shown(file)} shows the lines"
        yield Finding("definitions", "error" if errors else "warning", f"{first}{tail}", fix)
    if not troubled:
        yield Finding("definitions", "ok", f"{size(len(found), 'definition')} checked, no problems")


def valid(found: Sequence[Path]) -> dict[Path, Definition]:
    """Load the definitions that have no errors."""
    from agentctl.language.load import load

    definitions = {}
    for file in found:
        try:
            definitions[file] = load(file).definition
        except AgentctlError:
            continue
    return definitions


def examine_secrets(project: Project, definitions: dict[Path, Definition]) -> Iterator[Finding]:
    """Return one finding for each secret that is needed and not set."""
    needed: dict[str, list[str]] = {}
    for file, definition in definitions.items():
        for name in context.unset_secrets(project, definition):
            needed.setdefault(name, []).append(str(file.relative_to(project.root)))
    for name, users in sorted(needed.items()):
        message = f"the secret {name} is not set; it is needed by {', '.join(users)}"
        yield Finding("secrets.unset", "warning", message, f"put {name} into the environment or into {project.root / '.env'}")


def calls_a_model(definition: Definition) -> bool:
    from agentctl.core.graph import action_names

    return any(action in _CALLS_A_MODEL for action in action_names(definition).values())
