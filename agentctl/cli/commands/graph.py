"""`agentctl graph`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params, queries
from agentctl.errors import AgentctlError, NotFound, UsageError
from agentctl.expressions.suggestions import did_you_mean

if TYPE_CHECKING:
    from agentctl.views.graph import Graph

_PATIENCE = 60  # seconds that Graphviz may take

EXAMPLES = ("agentctl graph hello", "agentctl graph last --format mermaid")


def command(  # long: half of it declares the options
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME|RUN",
            help="A definition, or a run, whose steps then show their status.",
            autocompletion=complete.graphs,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="tree (the default), mermaid, dot or svg.", autocompletion=complete.formats
        ),
    ] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Draw the steps of a definition or of a run.

    `--format svg` needs the program `dot` of Graphviz.
    """
    from agentctl.render.diagrams import FORMATS

    if format is not None and format not in FORMATS:
        raise UsageError(f"{format!r} is not a format of a graph{did_you_mean(format, FORMATS)} (known: {', '.join(FORMATS)})")
    if json and format is not None:
        raise UsageError("--json prints the nodes and edges; leave out --format or --json")
    graph = _graph(target, db)
    from agentctl.render import diagrams
    from agentctl.render import graph as drawn
    from agentctl.render.timeline import coloured, plain
    from agentctl.views.graph import graph_document

    if json:
        output.print_json(graph_document(graph))
    elif format == "mermaid":
        output.say(diagrams.mermaid(graph))
    elif format == "dot":
        output.say(diagrams.dot(graph))
    elif format == "svg":
        output.say(_svg(diagrams.dot(graph)))
    else:
        output.show(lambda: plain(drawn.tree_lines(graph)), lambda screen: coloured(drawn.tree_lines(graph, width=screen.width)))


def _graph(target: str, db: str | None) -> Graph:
    """Return the graph of a file, a definition's name, or a run. Raises NotFound, DefinitionInvalid."""
    looks_like_file = Path(target).is_file() or "/" in target or target.endswith((".yaml", ".yml"))
    if not looks_like_file:
        from agentctl.language.catalog import Catalog

        names = Catalog(context.project(db)).names()
        if target not in names:
            try:
                return _of_run(target, db)
            except NotFound as error:
                raise NotFound(f"there is no definition and no run {target!r}{did_you_mean(target, names)}") from error
    from agentctl.views.graph import graph_of

    return graph_of(context.loaded(*context.located(target, db)).definition)


def _of_run(run: str, db: str | None) -> Graph:
    from agentctl.views.graph import graph_of, mark
    from agentctl.views.run import step_views

    with context.recorded(db, run) as (store, row):
        events = list(store.journal(row.id))
        state = queries.folded(store, events)
    graph = graph_of(state.plan.definition)
    mark(graph, row.id, row.status, step_views(row, events, state, {}))
    return graph


def _svg(source: str) -> str:
    """Draw with Graphviz. Raises UsageError when it is not installed, AgentctlError when it fails."""
    import shutil
    import subprocess

    program = shutil.which("dot")
    if program is None:
        raise UsageError(
            "--format svg needs the program `dot` of Graphviz, which is not on the PATH; install Graphviz,"
            " or take --format dot or --format mermaid, which need nothing"
        )
    try:
        done = subprocess.run([program, "-Tsvg"], input=f"{source}\n", capture_output=True, encoding="utf-8", timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise AgentctlError(f"{program} took longer than {_PATIENCE} s over this graph; take --format dot") from None
    if done.returncode != 0:
        messages = done.stderr.strip().splitlines()
        raise AgentctlError(f"{program} could not draw the graph: {messages[-1] if messages else f'exit code {done.returncode}'}")
    return done.stdout.rstrip("\n")
