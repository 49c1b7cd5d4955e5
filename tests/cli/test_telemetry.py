"""Traces, over the wire: a receiver of OTLP/HTTP on loopback takes what `run` sends."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PARENT = """
    loop: parent
    steps:
      - id: both
        foreach: ${{ [1, 2] }}
        max_parallel: 2
        steps:
          - skill: child
      - id: told
        env: {WORD: "${{ secrets.WORD }}"}
        shell: echo "$WORD is what it works on"
      - id: hold
        shell: touch held; while [ ! -e go ]; do sleep 0.05; done
"""
CHILD = "skill: child\nsteps:\n  - set: {a: 1}\n"


class Receiver:
    """Keeps every span that was sent."""

    def __init__(self, server) -> None:
        self.url = server.url
        self.spans: list = []
        self.resources: list[dict[str, str]] = []
        self.raw = b""
        server.answer = self.take

    def take(self, request):
        assert request["path"] == "/v1/traces"
        self.raw += request["body"]
        for of_resource in ExportTraceServiceRequest.FromString(request["body"]).resource_spans:
            self.resources.append({pair.key: pair.value.string_value for pair in of_resource.resource.attributes})
            self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
        return 200, {"Content-Type": "application/x-protobuf"}, b""

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_EXPORTER_OTLP_COMPRESSION": "none", "WORD": "s3cret-word"}

    def named(self, name: str):
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def receiver(server) -> Receiver:
    return Receiver(server)


@pytest.fixture
def parent(project):
    project.write("loops/parent.yaml", PARENT)
    project.write("skills/child.yaml", CHILD)
    return project


def attributes(span) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in span.attributes}


def test_a_run_its_steps_and_its_children_are_one_trace(parent, agentctl, receiver):
    (parent.root / "go").touch()
    assert agentctl("run", "parent", env=receiver.environment).code == 0
    [run] = receiver.named("run parent")
    [both] = receiver.named("foreach both")
    children = receiver.named("run child")
    calls = {span.span_id: span for span in receiver.spans if span.name.startswith("skill both[")}
    assert {span.trace_id for span in receiver.spans} == {run.trace_id}
    assert run.parent_span_id == b""
    assert {call.parent_span_id for call in calls.values()} == {both.span_id}
    assert len(calls) == len(children) == 2
    assert {child.parent_span_id for child in children} == set(calls)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in receiver.spans)
    assert receiver.resources[0]["service.name"] == "agentctl"
    assert b"s3cret-word" not in receiver.raw
    assert b"is what it works on" not in receiver.raw


def test_a_run_that_was_killed_goes_on_in_its_trace(parent, agentctl, receiver):
    running = agentctl.start("run", "parent", env=receiver.environment)
    while not (parent.root / "held").exists():
        assert running.poll() is None
    running.kill()
    running.wait()
    before = len(receiver.named("run parent"))
    (parent.root / "go").touch()
    assert agentctl("resume", "last", env=receiver.environment).code == 0
    [run] = receiver.named("run parent")
    [hold] = receiver.named("shell hold")
    assert before == 0
    assert hold.parent_span_id == run.span_id
    assert hold.trace_id == run.trace_id
    assert [event.name for event in run.events] == ["recovered"]
    started = agentctl("show", "last", "--json").json["run"]["started_at"]
    assert run.start_time_unix_nano / 1e9 == pytest.approx(datetime.fromisoformat(started).timestamp(), abs=0.002)


def test_a_service_sends_what_it_drives_to_the_very_end(project, agentctl, receiver):
    project.write("loops/ok.yaml", "loop: ok\nsteps:\n  - id: slow\n    shell: touch begun; sleep 1\n")
    serving = agentctl.start("serve", env=receiver.environment)
    agentctl("run", "ok", "--detach")
    while not (project.root / "begun").exists():
        assert serving.poll() is None
    serving.terminate()
    assert serving.wait(30) == 0
    [step] = receiver.named("shell slow")
    assert step.end_time_unix_nano - step.start_time_unix_nano > 9e8, "it ended within the grace of the stop"


def test_errors_have_a_status_and_a_type(project, agentctl, receiver):
    project.write("loops/bad.yaml", "loop: bad\nsteps:\n  - shell: echo private; exit 3\n")
    assert agentctl("run", "bad", env=receiver.environment).code == 1
    [step] = receiver.named("shell shell_1")
    assert (step.status.code, step.status.message) == (2, "shell.exit")
    assert attributes(step)["error.type"] == "shell.exit"
    assert b"private" not in receiver.raw


def test_a_receiver_that_is_not_there_stops_nothing(project, agentctl):
    project.write("loops/ok.yaml", "loop: ok\nsteps:\n  - set: {a: 1}\n")
    result = agentctl("run", "ok", "--json", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert (result.code, result.json["status"]) == (0, "succeeded")


@pytest.mark.parametrize(("name", "value"), [("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x"), ("OTEL_BSP_MAX_QUEUE_SIZE", "-1")])
def test_a_setting_that_the_sdk_refuses_is_told_and_the_run_goes_on(project, agentctl, name, value):
    project.write("loops/child.yaml", CHILD.replace("skill", "loop"))
    result = agentctl("run", "child", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", name: value})
    assert result.code == 0, result.err
    assert "no traces are sent, for OpenTelemetry cannot be set up" in result.err


def test_without_the_extra_it_is_said_once_and_the_run_goes_on(project, agentctl):
    project.write("loops/ok.yaml", "loop: ok\nsteps:\n  - set: {a: 1}\n")
    hidden = project.root / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not installed')\n")
    path = ":".join([str(hidden.parent), *filter(None, [agentctl.environment()["PYTHONPATH"]])])
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": path}
    result = agentctl("run", "ok", env=env)
    assert result.code == 0
    assert result.err.count("pip install 'agentctl[otel]'") == 1


def test_sampling_and_switching_off_mean_what_they_mean_everywhere(project, agentctl, receiver):
    project.write("loops/ok.yaml", "loop: ok\nsteps:\n  - set: {a: 1}\n")
    for off in ({"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert agentctl("run", "ok", env=receiver.environment | off).code == 0
    assert receiver.spans == []
    grpc = receiver.environment | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert "http/protobuf" in agentctl("run", "ok", env=grpc).err


def test_the_sdk_is_not_loaded_unless_it_is_asked_for(agentctl):
    code = (
        "import sys; from agentctl.telemetry.setup import telemetry;"
        " sys.exit(telemetry(None, {}) is not None or 'opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=agentctl.environment()).returncode == 0
