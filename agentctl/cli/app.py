"""The `agentctl` command: which commands there are, and how anything that goes wrong ends.

A command's module is imported when the command is used, and by `agentctl --help`. It imports nothing heavy at its top, so that
both stay quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from agentctl.cli import output
from agentctl.cli.exit_codes import CUT_OFF, FAILED, INTERRUPTED
from agentctl.errors import AgentctlError, UsageError
from agentctl.expressions.suggestions import nearest

# name -> what `agentctl --help` says of it; the module agentctl.cli.<name> has the function `command`
COMMANDS = {
    "run": "Run a loop or a skill to its end.",
    "serve": "Live on, and drive all runs: triggered, queued, or waiting.",
    "resume": "Go on with a run: what finished is kept, what failed runs anew.",
    "history": "List runs, newest first.",
    "show": "Show one run: its steps over time, errors and output.",
    "logs": "Print what the steps of a run wrote.",
    "send": "Send an event to runs that wait for it and loops that it triggers.",
    "inbox": "List everything that waits for a person, oldest first.",
    "approve": "Approve what a run asks for.",
    "reject": "Reject what a run asks for.",
    "cancel": "Ask a run to stop; its undo steps and handlers run.",
    "graph": "Draw the steps of a definition or of a run.",
    "feedback": "Say what the result of a run was worth.",
    "state": "Show or edit what a loop remembers between its runs.",
    "schedule": "Show slots of schedules, past and to come; fill in past ones.",
    "pause": "Have nothing trigger a loop until it is unpaused.",
    "unpause": "Have a paused loop triggered again.",
    "stats": "Count runs: how they ended, how long they took, what they cost.",
    "validate": "Check definitions and report every problem.",
    "test": "Play test cases in virtual time, with steps mocked.",
    "init": "Begin a project: a loop that runs at once, a skill, agentctl.yaml.",
    "backup": "Write a copy of the store, while it is in use, to one file.",
    "prune": "Remove runs that ended long ago, and all that belongs to them.",
    "export": "Print runs as JSON lines, for other programs.",
    "service": "Write a systemd unit that runs `agentctl serve`.",
    "doctor": "Check the installation, the store, the definitions and the models.",
    "schema": "Print the JSON Schema of a definition.",
    "version": "Print the version.",
}


class _AsGiven:
    """Hands a value over as typed, in the place where typer expects its converter.

    typer converts every value through pydantic, whose import takes longer than all the rest of our start-up. Our parameters
    are texts, lists of texts and flags, which need no conversion; numbers and times are read by the commands.
    """

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        return list(value or ()) if param.multiple or param.nargs == -1 else value


def _as_given(params: list[Any]) -> list[Any]:
    for param in params:
        param.get_runtime_param = lambda: _AsGiven
    return params


class LightCommand(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _as_given(super().get_params(ctx))


class Commands(TyperGroup):
    """The commands of COMMANDS, each imported when asked for."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _as_given(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # typer would end without a word
            raise typer.Abort from None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"agentctl.cli.commands.{cmd_name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=_markup())
        short = COMMANDS[cmd_name]
        app.command(cmd_name, cls=LightCommand, help=None if module.command.__doc__ else short, short_help=short)(module.command)
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:  # the last: completion at TAB
            near = nearest(name, COMMANDS)
            hint = f"did you mean `{near}`?" if near else "`agentctl --help` lists them"
            raise UsageError(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


def _markup() -> Any:
    """Help in boxes on a terminal, plain when piped."""
    return "rich" if sys.stdout is not None and sys.stdout.isatty() else None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=_markup(),
    help="Run agent loops and skills, written in YAML, as durable runs that outlive crashes.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from agentctl.cli.commands.version import command

        command(json=False)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of LANGUAGE section 10. Prints one sentence for anything that goes wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    output.prepare_streams()
    try:
        code = _run(arguments, as_json=as_json)
        sys.stdout.flush()
        return code
    except OSError as error:
        return _unwritable(error)


def _run(arguments: Sequence[str], *, as_json: bool) -> int:
    """The same; raises OSError when our own output cannot be written, be it what went wrong."""
    try:
        code = app(arguments, prog_name="agentctl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except AgentctlError as error:
        output.print_error(error, as_json=as_json)
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        output.print_interrupt("interrupted", as_json=as_json)
        return INTERRUPTED
    except OSError as error:
        return _system(error, as_json=as_json)
    except SystemExit as left:  # typer's answer to a reader that left, with the exit code of a failed run
        if isinstance(left.__context__, BrokenPipeError):
            raise left.__context__ from None
        raise
    except Exception as error:
        return _unexpected(error, as_json=as_json)


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    """What typer found wrong with the command line; a bare `agentctl` is asked for help, and gets it."""
    message = error.format_message().strip()
    context = getattr(error, "ctx", None)
    if not as_json and type(error).__name__ == "NoArgsIsHelpError":
        output.note(message)
    elif as_json or context is None:
        output.print_failure("usage", message, as_json=as_json)
    else:
        output.print_failure("usage", message, as_json=False)
        output.note(f"Try `{context.command_path} --help`.")
    return error.exit_code


def _system(error: OSError, *, as_json: bool) -> int:
    """The operating system refused something. Raises it again when that is to take our own output."""
    said = error.strerror or str(error)
    if error.filename is not None:
        output.print_failure("os", f"{error.filename}: {said}", as_json=as_json)
        return FAILED
    if isinstance(error, FileNotFoundError):
        output.print_failure("os", "the current folder is gone; change to one that exists", as_json=as_json)
        return UsageError.exit_code
    raise error


def _unwritable(error: OSError) -> int:
    """A reader that left is no error worth a word, a full disk is."""
    output.drop_stdout()
    if isinstance(error, BrokenPipeError):
        return CUT_OFF
    output.note(f"error: the output cannot be written: {error.strerror or error}")
    return FAILED


def _unexpected(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("AGENTCTL_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    said = f"internal error: {type(error).__name__}: {error}".rstrip(": ")
    output.print_failure("internal", f"{said}; please report this (AGENTCTL_DEBUG=1 shows where it happened)", as_json=as_json)
    return FAILED
