"""What `--json` prints is what the views return: one document, whoever asks for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agentctl.cli import queries
from agentctl.ports import HistoryFilter
from agentctl.render.waits import commands
from agentctl.store.ledger import Ledger, open_store
from agentctl.views.graph import graph_document, graph_of, mark
from agentctl.views.inbox import inbox_document
from agentctl.views.plan import plan_document, resume_plan
from agentctl.views.run import show_document, step_views
from agentctl.views.runs import history_document, outcome_document
from agentctl.views.statistics import statistics_document

WORK = """
loop: work
input: {mail: {type: string, default: ada@example.org}}
steps:
  - id: each
    foreach: [1, 2]
    steps: [{id: double, set: {n: "${{ item * 2 }}"}, undo: {set: {n: 0}}}]
  - {id: sign, approve: {message: "Send to ${{ input.mail }}?", form: {copies: {type: integer, default: 1}}}}
"""


@pytest.fixture
def store(agentctl: Any, project: Any) -> Iterator[Ledger]:
    """A store with a failed run and one that waits for an approval."""
    project.write("loops/work.yaml", WORK)
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{id: ok, set: {x: 1}}, {id: boom, fail: no}]\n")
    agentctl("run", "bad")
    agentctl("feedback", "last", "good")
    assert agentctl("run", "work", "--no-wait").code == 3
    opened = open_store(project.store, read_only=True)
    yield opened
    opened.close()


def as_printed(document: Any) -> Any:
    return json.loads(msgspec.json.encode(document))


def test_history_prints_the_view_of_its_rows(store: Ledger, agentctl: Any) -> None:
    rows = store.history(HistoryFilter())
    view = history_document(rows, queries.stalls(store, rows, time.time()), store.feedback([row.id for row in rows]))
    assert agentctl("history", "--json").json == as_printed(view)


def test_show_and_export_print_the_view_of_each_run(store: Ledger, agentctl: Any) -> None:
    exported = agentctl("export", "--json").json
    for row, line in zip(reversed(store.history(HistoryFilter())), exported, strict=True):
        view = as_printed(show_document(queries.run_view(store, row, time.time())))
        assert agentctl("show", row.id, "--json").json == view
        assert line == view


def test_the_inbox_prints_the_view_of_what_waits(store: Ledger, agentctl: Any) -> None:
    [waiting] = store.inbox()
    assert agentctl("inbox", "--json").json == [as_printed(inbox_document(waiting, commands(waiting, "")))]


def test_a_plan_prints_the_view_of_what_a_resume_would_do(store: Ledger, agentctl: Any) -> None:
    [row] = store.history(HistoryFilter(name="bad"))
    plan = resume_plan(queries.folded(store, store.journal(row.id)), [])
    assert [intent.action for intent in plan] == ["reuse", "rerun"]
    assert agentctl("resume", row.id, "--plan", "--json").json == as_printed(plan_document(plan))


def test_a_graph_of_a_run_prints_the_view_of_its_steps(store: Ledger, agentctl: Any) -> None:
    [row] = store.history(HistoryFilter(name="work"))
    events = list(store.journal(row.id))
    state = queries.folded(store, events)
    graph = graph_of(state.plan.definition)
    mark(graph, row.id, row.status, step_views(row, events, state, {}))
    assert agentctl("graph", row.id, "--json").json == as_printed(graph_document(graph))


def test_stats_print_the_view_of_the_figures(store: Ledger, agentctl: Any) -> None:
    assert agentctl("stats", "--json").json == as_printed([statistics_document(one) for one in store.statistics(0.0)])


def test_resume_prints_the_outcome_of_the_row(store: Ledger, agentctl: Any) -> None:
    [row] = store.history(HistoryFilter(name="bad"))
    answered = agentctl("resume", row.id, "--json").json
    after = store.run(row.id)
    assert after is not None
    assert answered == as_printed(outcome_document(after))
