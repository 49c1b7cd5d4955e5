"""GET /metrics: text that Prometheus reads, figures that are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from agentctl import __version__
from agentctl.core.events import AttemptFailed, Error, RunFinished, RunStarted, StepStarted, StepSucceeded
from agentctl.store.ledger import open_store
from agentctl.store.runs import statistics

LINE = re.compile(
    r'(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{\w+="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,\w+="(?:[^"\\\n]|\\\\|\\"|\\n)*")*\})? [0-9.e+-]+)'
)


def samples(listening: Any) -> dict[str, float]:
    text = listening.authorized("GET", "/metrics").text
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_the_figures_need_the_token_and_are_text_for_prometheus(listening: Any) -> None:
    assert listening.request("GET", "/metrics").status == 401
    answer = listening.authorized("GET", "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


def test_events_their_runs_and_the_answers_are_counted(listening: Any) -> None:
    for headers in ({"Idempotency-Key": "1"}, {"Idempotency-Key": "1"}, {}):
        listening.authorized("POST", "/events/order.paid", b"{}", headers)
    listening.request("POST", "/events/order.paid", b"{}")
    found = samples(listening)
    assert found['agentctl_runs{loop="orders",status="queued"}'] == 2
    assert found["agentctl_queue_depth"] == 2
    assert found['agentctl_events_received_total{outcome="accepted",via="http"}'] == 2
    assert found['agentctl_events_received_total{outcome="duplicate",via="http"}'] == 1
    assert found['agentctl_http_requests_total{code="202"}'] == 3
    assert found['agentctl_http_requests_total{code="401"}'] == 1
    assert found["agentctl_event_commits_total"] == 3
    assert found["agentctl_event_commit_seconds_total"] > 0


def test_what_the_engine_commits_is_counted(listening: Any) -> None:
    run_id = listening.authorized("POST", "/events/order.paid", b"{}").json["started"][0]
    failed = AttemptFailed(at=1.0, path="a", attempt=1, error=Error("failed", "no"))
    started = StepStarted(at=1.0, path="a", attempt=1, input={})
    listening.observe(run_id, started, failed, started, StepSucceeded(at=2.0, path="a", attempt=2, output=None))
    listening.observe(run_id, RunFinished(at=3.0, status="succeeded"))
    found = samples(listening)
    assert found['agentctl_attempts_total{event="started"}'] == 2
    assert found['agentctl_attempts_total{event="failed"}'] == 1
    assert found['agentctl_steps_total{status="succeeded"}'] == 1
    assert found['agentctl_runs_finished_total{loop="orders",status="succeeded"}'] == 1


def test_definitions_that_cannot_be_used_are_named(listening: Any) -> None:
    listening.write("loops/orders.yaml", "loop: orders\nsteps: nonsense\n")
    listening.write("loops/new.yaml", "loop: new\nsteps: nonsense\n")
    listening.wait(listening.deployer.reload())
    found = samples(listening)
    assert found['agentctl_deployment_problem{loop="orders"}'] == found['agentctl_deployment_problem{loop="new"}'] == 1
    assert found['agentctl_deployments{state="deployed"}'] == 1  # of the one the last good version serves
    assert found['agentctl_deployments{state="unusable"}'] == 1


def test_slots_build_and_readiness_are_there(listening: Any) -> None:
    listening.slots.update(fired=3, missed=1)
    found = samples(listening)
    assert (found['agentctl_slots_total{outcome="fired"}'], found['agentctl_slots_total{outcome="missed"}']) == (3, 1)
    assert found[f'agentctl_build_info{{version="{__version__}"}}'] == 1
    assert found["agentctl_ready"] == 1
    listening.unready.append("the service is stopping")
    assert samples(listening)["agentctl_ready"] == 0


def test_the_documentation_names_every_figure_and_no_other(listening: Any, repository: Path) -> None:
    text = listening.authorized("GET", "/metrics").text
    page = (repository / "docs" / "serve.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) == set(re.findall(r"`(agentctl_\w+)`", page))


def test_what_takes_time_is_in_histograms(listening: Any) -> None:
    run_id = listening.authorized("POST", "/events/order.paid", b"{}").json["started"][0]
    created = listening.store.run(run_id).created_at
    listening.observe(run_id, RunStarted(at=created + 20))
    listening.observe(run_id, StepStarted(at=1.0, path="set_1", attempt=1, input={}))
    listening.observe(run_id, StepSucceeded(at=3.0, path="set_1", attempt=1, output=None))
    found = samples(listening)
    assert found["agentctl_queue_wait_seconds_count"] == 1
    assert found['agentctl_queue_wait_seconds_bucket{le="10.0"}'] == 0
    assert found['agentctl_queue_wait_seconds_bucket{le="60.0"}'] == 1
    assert found['agentctl_step_seconds_sum{action="set"}'] == 2
    assert found["agentctl_commit_seconds_count"] > 0


def test_what_fails_without_stopping_the_service_is_named(listening: Any) -> None:
    listening.problems.report("scheduler", 'the schedule of "x"', ValueError("no"))
    assert samples(listening)['agentctl_problem{part="scheduler",subject="the schedule of \\"x\\""}'] == 1
    listening.problems.clear("scheduler", 'the schedule of "x"')
    assert not [name for name in samples(listening) if name.startswith("agentctl_problem{")]


def test_counting_what_has_not_finished_touches_no_run_that_has(tmp_path: Path) -> None:
    store = open_store(tmp_path / "agentctl.db")
    try:
        # there is no other way to see what it costs
        plan = store._reader.execute(f"EXPLAIN QUERY PLAN {statistics.UNFINISHED}").fetchall()
        reads = [row[3] for row in plan if " r " in f"{row[3]} "]
        assert reads
        assert all("USING COVERING INDEX runs_by_name" in line for line in reads), reads
    finally:
        store.close()
