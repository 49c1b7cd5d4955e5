"""`agentctl service`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.errors import UsageError
from agentctl.expressions.suggestions import did_you_mean

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.service.systemd.unit import Described

_ACTIONS = ("install", "print")
_SYSTEM = Path("/etc/systemd/system")
_USER = Path("systemd/user")  # below $XDG_CONFIG_HOME
_SAID = {"none": "{} is there already, and as it should be", "created": "wrote {}", "replaced": "replaced {}"}


def command(
    action: Annotated[str, typer.Argument(metavar="install|print", help="Write the unit file, or only show it.")],
    user: Annotated[bool, typer.Option("--user", help="A unit of your own systemd instead of the system's.")] = False,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Have `serve` listen for HTTP there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a unit file that was changed.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Write a systemd unit that runs `agentctl serve` for this project.

    Nothing is started; the commands that do so are printed. A system unit runs as the owner of the project's folder.
    """
    if action not in _ACTIONS:
        raise UsageError(f"service takes install or print, not {action!r}{did_you_mean(action, _ACTIONS)}")
    from agentctl.service.systemd.unit import install_commands, unit

    described = _described(context.project(db), db, listen, user=user)
    try:
        text = unit(described)
    except ValueError as error:
        raise UsageError(str(error)) from None
    path = _folder(user=user) / f"{described.name}.service"
    document = {"unit": f"{described.name}.service", "path": str(path), "text": text}
    if action == "print":
        if json:
            output.print_json(document)
        else:
            output.say(text.rstrip("\n"))
        return
    change = _write(path, text, force=force)
    commands = install_commands(described)
    if json:
        output.print_json({**document, "change": change, "next": commands})
        return
    output.note(_SAID[change].format(path))
    if described.account == "root" and not user:
        output.note("it runs as root, who owns the project; give the folder to a user of its own (chown -R) and install anew")
    output.note("next:\n" + "\n".join(f"  {line}" for line in commands))


def _described(project: Project, db: str | None, listen: str | None, *, user: bool) -> Described:
    from agentctl.service.systemd.unit import Described

    # The service does not have this shell's environment.
    chosen = db is not None or bool(os.environ.get("AGENTCTL_DB"))
    options = ["--db", str(project.store_path)] if chosen else []
    if listen is not None:
        from agentctl.service.http.address import parse

        parse(listen)  # an address that makes no sense is told now
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
    """The folder of the store; the project's own when it lies in that, which `root/../stores` and a link out of it do not."""
    folder = project.store_path.parent.resolve()
    return project.root if folder.is_relative_to(project.root.resolve()) else folder


def _program() -> list[str]:
    """agentctl as it is installed for this Python. Without its script, -P: what lies in the project's folder is no module."""
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
    """What was done: `none`, `created`, `replaced`. Raises UsageError for a file that says something else, and OSError."""
    found = None
    with suppress(FileNotFoundError):
        found = path.read_text(encoding="utf-8", errors="replace")
    if found == text:
        return "none"
    if found is not None and not force:
        raise UsageError(
            f"{path} says something else than what would be written now; compare it with `agentctl service print`,"
            " keep changes of your own by `systemctl edit`, then replace it with --force"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
    return "created" if found is None else "replaced"
