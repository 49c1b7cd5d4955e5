"""The loop and the skill that ship with the product, run for real: on this host, on a service, with and without a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

LOOP = "loops/health.yaml"


@pytest.fixture
def service(server):
    """`answers`: what it says at which path, as JSON with a status."""
    server.answers = {}
    server.answer = lambda request: server.json(*server.answers.get(request["path"], ({}, 404)))
    return server


@pytest.fixture
def shipped(project, repository):
    """A project with the repository's own loops and skills."""
    for folder in ("loops", "skills"):
        shutil.copytree(repository / folder, project.root / folder, dirs_exist_ok=True)
    return project


def steps_of(agentctl, run="last"):
    return {step["path"]: step for step in agentctl("show", run, "--json").json["steps"]}


def commit(folder, message):
    who = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", message]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **who}, check=True)


def test_the_definitions_that_ship_are_valid(shipped, agentctl):
    result = agentctl("validate", "loops", "skills", "--json")
    assert (result.code, result.json) == (0, [])


def test_the_health_loop_succeeds_without_a_model(shipped, agentctl):
    result = agentctl("run", LOOP, "--json")
    assert result.code == 0, result.err
    assert result.json["status"] == "succeeded"
    assert result.json["output"]["severity"] in {"normal", "warning", "critical"}
    assert steps_of(agentctl)["assess"]["status"] == "recovered"


def test_the_health_loop_measures_this_host(shipped, agentctl):
    assert agentctl("run", LOOP).code == 0
    steps = steps_of(agentctl)
    disk, memory = steps["host.disk"]["output"], steps["host.memory"]["output"]
    assert steps["host.load"]["output"]["cores"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert memory["total_mb"] == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20, rel=0.05)
    assert 0 <= memory["used_percent"] <= 100
    assert disk["used_percent"] == max(mount["used_percent"] for mount in disk["mounts"])
    assert steps["host.processes"]["output"]["total"] > 1


def test_what_is_over_a_limit_is_triaged_and_reported_to_a_file(shipped, agentctl):
    commit(shipped.root, "Switch the cache off")
    result = agentctl("run", LOOP, "-i", "memory_percent=-200", "--json")
    assert result.code == 0, result.err
    output = result.json["output"]
    assert output["severity"] == "critical"
    assert any("memory" in finding for finding in output["findings"])

    report = (shipped.root / output["triage"]["report"]).read_text()
    assert "memory" in report
    assert "Ada: Switch the cache off" in report
    assert output["triage"]["cause"].endswith("Ada: Switch the cache off")
    assert output["triage"]["posted"] is False


def test_a_normal_host_is_triaged_only_when_asked_to(shipped, agentctl, service):
    shipped.write("agentctl.yaml", f"vars: {{metrics_url: '{service.url}/metrics'}}\n")
    service.answers["/metrics"] = ({"load_per_core": 0.1}, 200)
    assert agentctl("run", LOOP, "--json").json["output"]["triage"] is None
    output = agentctl("run", LOOP, "-i", "triage=always", "--json").json["output"]
    assert output["severity"] == "normal"
    assert (shipped.root / output["triage"]["report"]).exists()


def test_the_summary_is_posted_once_where_there_is_a_webhook(shipped, agentctl, service):
    service.answers["/hook/planted-secret"] = ({}, 200)
    hook = {"INCIDENT_WEBHOOK": f"{service.url}/hook/planted-secret"}
    result = agentctl("run", LOOP, "-i", "triage=always", "--json", env=hook)
    assert result.code == 0, result.err
    assert result.json["output"]["triage"]["posted"] is True
    assert result.json["output"]["triage"]["report"] is None

    [request] = service.requests
    assert request["headers"]["idempotency-key"].endswith("/post")
    assert json.loads(request["body"])["summary"] == result.json["output"]["triage"]["summary"]
    kept = [path for path in (shipped.root / ".agentctl").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"planted-secret" in path.read_bytes() for path in kept)


def test_a_webhook_that_fails_leaves_the_report_in_a_file(shipped, agentctl, service):
    service.answers["/hook"] = ({}, 500)
    result = agentctl("run", LOOP, "-i", "triage=always", "--json", env={"INCIDENT_WEBHOOK": f"{service.url}/hook"})
    assert result.code == 0, result.err
    assert result.json["output"]["triage"]["posted"] is False
    assert (shipped.root / result.json["output"]["triage"]["report"]).exists()
    assert len(service.requests) == 3


def test_the_metrics_of_a_service_are_compared_with_the_limits(shipped, agentctl, service):
    shipped.write("agentctl.yaml", f"vars: {{metrics_url: '{service.url}/metrics'}}\n")
    service.answers["/metrics"] = ({"load_per_core": 0.1, "disk_percent": 93, "fullest_disk": "/data"}, 200)
    output = agentctl("run", LOOP, "--json").json["output"]
    assert (output["subject"], output["severity"]) == (f"{service.url}/metrics", "warning")
    assert output["findings"] == ["disk /data is 93 % full"]
    assert steps_of(agentctl)["host"]["status"] == "skipped"


def test_a_service_that_does_not_answer_is_critical(shipped, agentctl, service):
    shipped.write("agentctl.yaml", f"vars: {{metrics_url: '{service.url}/metrics'}}\n")
    service.answers["/metrics"] = ({}, 503)
    result = agentctl("run", LOOP, "--json")
    assert result.code == 0, result.err
    assert result.json["output"]["severity"] == "critical"
    assert result.json["output"]["findings"][0].startswith("the service cannot be reached: ")
    assert len(service.requests) == 3


def test_a_model_makes_the_assessment_where_there_is_one(shipped, agentctl, service):
    model = f"{{model: openai/test, api_base: '{service.url}/v1'}}"
    shipped.write("agentctl.yaml", f"models: {{default: {model}}}\n")
    said = {"severity": "normal", "findings": [], "reason": "all quiet"}
    service.answer = lambda request: service.completion(json.dumps(said), (120, 15))
    result = agentctl("run", LOOP, "--json", env={"OPENAI_API_KEY": "sk-test"})
    assert result.code == 0, result.err
    assert result.json["output"]["reason"] == "all quiet"
    assess = steps_of(agentctl)["assess"]
    assert assess["status"] == "succeeded"
    assert (assess["usage"]["input_tokens"], assess["usage"]["output_tokens"]) == (120, 15)
