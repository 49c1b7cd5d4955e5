"""`agentctl init`."""

from __future__ import annotations

import json as json_library
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from agentctl.cli import output, params
from agentctl.errors import UsageError
from agentctl.language.project.project import FOLDERS

SCHEMA = "agentctl.schema.json"
_IGNORED = (".agentctl/", ".env")  # the store with all outputs, and the secrets
_FILES = ("agentctl.yaml", "loops/hello.yaml", "skills/greeting.yaml", "tests/hello.test.yaml")  # below template/
_NEXT = (
    "agentctl run hello -i name=Ada",
    "agentctl show last",
    "agentctl graph hello",
    "agentctl validate",
    "agentctl test",
)


EXAMPLES = (
    "agentctl init my-project",
    "agentctl init . --json",
)


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The project's folder; created if missing.")] = ".",
    json: params.Json = False,
) -> None:
    """Start a project: a loop that runs at once, a skill, a test, agentctl.yaml, .gitignore, a schema for editors.

    No existing file is overwritten. An existing .gitignore gets the lines that it lacks.
    """
    root = Path(folder)
    texts = {name: _template(name) for name in _FILES} | {SCHEMA: _schema()}
    _refuse(root, texts)
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    changed = _ignore(root / ".gitignore")
    if json:
        output.print_json({"root": str(root.absolute()), "created": [*texts, *changed["created"]], "changed": changed["changed"]})
        return
    for verb, names in (("created", [*texts, *changed["created"]]), ("changed", changed["changed"])):
        for name in names:
            output.note(f"{verb} {root / name}")
    output.note("\nNow try:")
    go = [] if root.resolve() == Path.cwd() else [f"cd {shlex.quote(folder)}"]
    for line in [*go, *_NEXT]:
        output.note(f"  {line}")


def _refuse(root: Path, texts: dict[str, str]) -> None:
    """Raise UsageError, before anything is written, when a file to be written exists."""
    nearest = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UsageError(f"{nearest} is a file; a folder was expected")
    taken = [name for name in texts if (root / name).exists() or (root / name).is_symlink()]
    if taken:
        verb = "exists" if len(taken) == 1 else "exist"
        raise UsageError(f"{', '.join(str(root / name) for name in taken)} {verb} already; nothing was written")
    for name in FOLDERS:
        if (root / name).exists() and not (root / name).is_dir():
            raise UsageError(f"{root / name} is a file; a folder was expected; nothing was written")


def _template(name: str) -> str:
    return (files("agentctl.cli") / "template" / name).read_text(encoding="utf-8")


def _schema() -> str:
    """Return the schema. It is part of the project, so that clones have it and editors need no network."""
    from agentctl.language.schema import schema

    return json_library.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _ignore(path: Path) -> dict[str, list[str]]:
    """Keep the store and the secrets out of git. Returns the files created and changed."""
    there = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    lines = {line.strip().strip("/") for line in there.splitlines()}
    missing = [line for line in _IGNORED if line.strip("/") not in lines]
    if missing:
        gap = "\n" if there and not there.endswith("\n") else ""
        with path.open("a", encoding="utf-8") as file:
            file.write(gap + "".join(f"{line}\n" for line in missing))
    names = [path.name] if missing else []
    return {"created": [], "changed": names} if there else {"created": names, "changed": []}
