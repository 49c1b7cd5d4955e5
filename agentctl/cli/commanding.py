"""How commands are found, grouped and described: the table of commands on top of typer."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from agentctl.errors import UsageError
from agentctl.expressions.suggestions import did_you_mean, nearest

# name -> its line in `agentctl --help`; the module agentctl.cli.commands.<name> has the function `command`
COMMANDS = {
    "run": "Run a loop or a skill to its end.",
    "serve": "Run as a service: start triggered runs, drive all others.",
    "resume": "Resume a run: finished steps are kept, failed ones run again.",
    "history": "List runs, newest first.",
    "show": "Show one run: its steps over time, errors and output.",
    "logs": "Print what the steps of a run wrote.",
    "send": "Send an event to waiting runs and triggered loops.",
    "inbox": "List everything that waits for a person, oldest first.",
    "approve": "Approve what a run asks for.",
    "reject": "Reject what a run asks for.",
    "cancel": "Ask a run to stop; its undo steps and handlers run.",
    "graph": "Draw the steps of a definition or of a run.",
    "feedback": "Record what the result of a run was worth.",
    "state": "Show or edit what a loop remembers between its runs.",
    "schedule": "Show past and coming slots of schedules; backfill past ones.",
    "pause": "Pause a loop: nothing triggers it until it is unpaused.",
    "unpause": "Unpause a loop: it is triggered again.",
    "stats": "Count runs: results, durations, costs.",
    "validate": "Check definitions and report every problem.",
    "test": "Run test cases in virtual time, with steps mocked.",
    "init": "Start a project: a loop, a skill, a test, agentctl.yaml.",
    "backup": "Copy the store, while it is in use, to one file.",
    "prune": "Remove old runs and everything that belongs to them.",
    "export": "Print runs as JSON lines, for other programs.",
    "service": "Write a systemd unit that runs `agentctl serve`.",
    "doctor": "Check installation, store, definitions and models.",
    "schema": "Print the JSON Schema of a definition.",
    "version": "Print the version.",
}


def markup() -> Any:
    """Return the markup mode of help: boxes on a terminal, plain text elsewhere."""
    return "rich" if sys.stdout is not None and sys.stdout.isatty() else None


class _AsGiven:
    """Pass a value through where typer expects its converter.

    typer converts every value through pydantic, whose import takes longer than the rest of the start-up. Our parameters are
    texts, lists of texts and flags, which need no conversion; commands read numbers and times themselves.
    """

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        return list(value or ()) if param.multiple or param.nargs == -1 else value


def _light(params: list[Any]) -> list[Any]:
    """Take parameters as given, and show their types as TEXT, INTEGER, PATH ...; a flag has none."""
    for param in params:
        param.get_runtime_param = lambda: _AsGiven
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: "TEXT"
        elif param.is_flag:
            param.display_type_rich = lambda ctx: None
    return params


class Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _light(super().get_params(ctx))


class Group(TyperGroup):
    """A command with sub-commands. Without one of them its own function runs, if it has one."""

    allow_extra_args = False
    allow_interspersed_args = True

    def get_params(self, ctx: Any) -> list[Any]:
        return _light(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if len(args) > 1 and args[1] in self.commands and not args[0].startswith("-") and args[0] not in self.commands:
            args[:2] = [args[1], args[0]]  # `state LOOP set KEY VALUE`: the name may come first
        if args[:1] and args[0] in self.commands:
            ctx._protected_args, ctx.args = args[:1], args[1:]
            self.params = []  # they belong to its own function
            return list(ctx.args)
        if self.no_args_is_help and args and not args[0].startswith("-") and not ctx.resilient_parsing:
            names = " or ".join(self.commands)
            raise UsageError(f"`{ctx.command_path}` takes {names}, not {args[0]!r}{_hint(args[0], self.commands)}")
        if args[1:] and not ctx.resilient_parsing and (hint := did_you_mean(args[1], self.commands)):
            raise UsageError(f"`{ctx.command_path}` has no sub-command {args[1]!r}{hint}")
        return list(TyperCommand.parse_args(self, ctx, args))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Offer sub-commands only where there is no function of its own, whose argument offers them."""
        if self.no_args_is_help:
            return super().shell_complete(ctx, incomplete)
        return TyperCommand.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        if not ctx._protected_args:
            return TyperCommand.invoke(self, ctx)
        [name] = ctx._protected_args
        with self.commands[name].make_context(name, ctx.args, parent=ctx) as below:
            return below.command.invoke(below)


class Root(TyperGroup):
    """The commands of COMMANDS, each imported when it is asked for."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _light(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # typer would end without a message
            raise typer.Abort from None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"agentctl.cli.commands.{cmd_name}")
        below: dict[str, Callable[..., Any]] = getattr(module, "SUBCOMMANDS", {})
        command: Callable[..., Any] | None = getattr(module, "command", None)
        if not below:
            app = typer.Typer(add_completion=False, rich_markup_mode=markup())
            assert command is not None
            _add(app, cmd_name, command, COMMANDS[cmd_name], getattr(module, "EXAMPLES", ()))
            return typer.main.get_command(app)
        app = typer.Typer(
            name=cmd_name,
            cls=Group,
            add_completion=False,
            rich_markup_mode=markup(),
            context_settings=_SETTINGS,
            invoke_without_command=command is not None,
            no_args_is_help=command is None,
            help=COMMANDS[cmd_name] if command is None else inspect.getdoc(command),
            short_help=COMMANDS[cmd_name],
            subcommand_metavar="COMMAND ..." if command is None else "| COMMAND ...",
        )
        app.callback()(_nothing if command is None else command)
        for name, function in below.items():
            _add(app, name, function, None, ())
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:  # the last: completion at TAB
            hint = _hint(name, COMMANDS) or "; `agentctl --help` lists them"
            raise UsageError(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)


_SETTINGS = {"help_option_names": ["-h", "--help"]}


def _nothing() -> None:
    """The function of a group that only has sub-commands."""


def _add(app: typer.Typer, name: str, function: Callable[..., Any], short: str | None, examples: Sequence[str]) -> None:
    epilog = "\n".join(["Examples:", *(f"  {line}" for line in examples)]) if examples else None
    if epilog is not None:  # in each mode, keep the line breaks
        epilog = epilog.replace("[", r"\[") if markup() == "rich" else f"\b\n{epilog}"
    help = None if function.__doc__ else short
    app.command(name, cls=Command, help=help, short_help=short, epilog=epilog, context_settings=_SETTINGS)(function)


def _hint(word: str, known: Any) -> str:
    near = nearest(word, known)
    return f"; did you mean `{near}`?" if near else ""
