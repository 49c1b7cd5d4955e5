"""The `agentctl` command: the table of commands, and how every error ends.

A command's module is imported when the command is used, and by `agentctl --help`. It imports nothing heavy at its top, so that
both start quickly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from agentctl.cli import output
from agentctl.cli.commanding import Root, markup
from agentctl.cli.output import CUT_OFF, FAILED, INTERRUPTED
from agentctl.errors import AgentctlError, UsageError

app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=markup(),
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run durable loops and skills, written in YAML.",
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
    """Run one command; returns its exit code (README.md lists them). Every error prints one sentence."""
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
    """Run the command. Raises OSError when our own output cannot be written."""
    try:
        _demand_utf8(arguments)
        code = app(arguments, prog_name="agentctl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except AgentctlError as error:
        output.print_error(error, as_json=as_json)
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        output.print_failure("interrupted", "interrupted", as_json=as_json)
        return INTERRUPTED
    except OSError as error:
        return _system(error, as_json=as_json)
    except SystemExit as left:  # typer's answer to a closed pipe, with the exit code of a failed run
        if isinstance(left.__context__, BrokenPipeError):
            raise left.__context__ from None
        raise
    except Exception as error:
        return _unexpected(error, as_json=as_json)


def _demand_utf8(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is not UTF-8: no name, path or value of a run can hold it."""
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            raise UsageError(f"argument {number} of the command line is not a text in UTF-8: {shown}") from None


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    """Report what typer found wrong with the command line. `agentctl` without a command prints its help."""
    message = error.format_message().strip()
    context = getattr(error, "ctx", None)
    if not as_json and type(error).__name__ == "NoArgsIsHelpError":
        output.note(message)
        return error.exit_code
    output.print_failure("usage", message, as_json=as_json)
    if not as_json and context is not None:
        output.note(f"Try `{context.command_path} --help`.")
    return error.exit_code


def _system(error: OSError, *, as_json: bool) -> int:
    """Report an error of the operating system. Raises it again when it concerns our own output."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        output.print_failure("os", f"{error.filename}: {reason}", as_json=as_json)
        return FAILED
    if isinstance(error, FileNotFoundError):
        output.print_failure("os", "the current folder is gone; change to one that exists", as_json=as_json)
        return UsageError.exit_code
    raise error


def _unwritable(error: OSError) -> int:
    """Report that the output cannot be written. A closed pipe is no error worth a message."""
    output.drop_stdout()
    if isinstance(error, BrokenPipeError):
        return CUT_OFF
    output.note(f"error: the output cannot be written: {error.strerror or error}")
    return FAILED


def _unexpected(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("AGENTCTL_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    cause = f"internal error: {type(error).__name__}: {error}".rstrip(": ")
    output.print_failure("internal", f"{cause}; please report this (AGENTCTL_DEBUG=1 shows where it happened)", as_json=as_json)
    return FAILED
