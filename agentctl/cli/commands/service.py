"""`agentctl service install|print`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.errors import UsageError

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.service.systemd.unit import Described

_SYSTEM = Path("/etc/systemd/system")
_USER = Path("systemd/user")  # below $XDG_CONFIG_HOME
_DONE = {"none": "{} is there already, and up to date", "created": "wrote {}", "replaced": "replaced {}"}


User = Annotated[bool, typer.Option("--user", help="A unit of your own systemd instead of the system's.")]
Listen = Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Let `serve` listen for HTTP there.")]


def install(
    user: User = False,
    listen: Listen = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a unit file that was changed.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Write the unit file.

    Nothing is started; the commands that do so are printed. A system unit runs as the owner of the project's folder.
    """
    from agentctl.service.systemd.unit import install_commands

    described = _described(context.project(db), db, listen, user=user)
    document = _document(described)
    path = Path(document["path"])
    change = _write(path, document["text"], force=force)
    commands = install_commands(described)
    if json:
        output.print_json({**document, "change": change, "next": commands})
        return
    output.note(_DONE[change].format(path))
    if described.account == "root" and not user:
        output.note("it runs as root, who owns the project; give the folder to a user of its own (chown -R) and install again")
    output.note("next:\n" + "\n".join(f"  {line}" for line in commands))


def show(user: User = False, listen: Listen = None, db: params.Db = None, json: params.Json = False) -> None:
    """Print the unit file."""
    document = _document(_described(context.project(db), db, listen, user=user))
    if json:
        output.print_json(document)
    else:
        output.say(document["text"].rstrip("\n"))


SUBCOMMANDS = {"install": install, "print": show}


def _document(described: Described) -> dict[str, str]:
    """Return the unit's name, path and text. Raises UsageError when it cannot be written as a unit."""
    from agentctl.service.systemd.unit import unit

    name = f"{described.name}.service"
    try:
        return {"unit": name, "path": str(_folder(user=described.user) / name), "text": unit(described)}
    except ValueError as error:
        raise UsageError(str(error)) from None


def _described(project: Project, db: str | None, listen: str | None, *, user: bool) -> Described:
    from agentctl.service.systemd.unit import Described

    # The service does not have this shell's environment.
    chosen = db is not None or bool(os.environ.get("AGENTCTL_DB"))
    options = ["--db", str(project.store_path)] if chosen else []
    if listen is not None:
        from agentctl.service.http.address import parse

        parse(listen)  # report a wrong address now
        options += ["--listen", listen]
    return Described(
        root=project.root,
        store=_written(project),
        command=_program(),
        uses=[Path(sys.prefix), Path(sys.base_prefix)],
        options=options,
        account=_owner(project.root),
        user=user,
    )


def _written(project: Project) -> Path:
    """Return the folder of the store; the project's own if the store is inside it, links resolved."""
    folder = project.store_path.parent.resolve()
    return project.root if folder.is_relative_to(project.root.resolve()) else folder


def _program() -> list[str]:
    """Return the command of this installation. Without its script, -P keeps files of the project from being imported."""
    script = Path(sys.executable).with_name("agentctl")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-P", "-m", "agentctl"]


def _owner(root: Path) -> str:
    import pwd

    number = root.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _folder(*, user: bool) -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / _USER if user else _SYSTEM


def _write(path: Path, text: str, *, force: bool) -> str:
    """Return what was done: `none`, `created`, `replaced`. Raises UsageError for a file that was changed, and OSError."""
    found = None
    with suppress(FileNotFoundError):
        found = path.read_text(encoding="utf-8", errors="replace")
    if found == text:
        return "none"
    if found is not None and not force:
        raise UsageError(
            f"{path} differs from what would be written now; compare it with `agentctl service print`,"
            " keep changes of your own by `systemctl edit`, then replace it with --force"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
    return "created" if found is None else "replaced"
