"""`agentctl resume` and `agentctl cancel`: going on, running anew, stopping."""

from __future__ import annotations

import signal

import pytest
from waiting import eventually

# Fails until the file `ok` is there; each step leaves a line in `trace`, so that a test sees what was executed.
FLAKY = """
    loop: flaky
    steps:
      - id: first
        shell: "echo first >> trace; echo one"
      - id: second
        shell: "echo second >> trace; cat ok"
      - id: third
        set: {said: "${{ steps.first.output }} ${{ steps.second.output }}"}
      - id: apart
        needs: []
        shell: "echo apart >> trace"
"""


@pytest.fixture
def failed(project, agentctl) -> str:
    """The id of a run of FLAKY that failed at its second step."""
    project.write("loops/flaky.yaml", FLAKY)
    result = agentctl("run", "flaky", "--json")
    assert result.code == 1, result.err
    return result.json["run_id"]


def trace(project) -> list[str]:
    return sorted((project.root / "trace").read_text().split())


def test_a_failed_run_retries_only_what_failed(agentctl, project, failed):
    project.write("ok", "two")
    result = agentctl("resume", "last", "--json")
    assert (result.code, result.json["run_id"], result.json["status"]) == (0, failed, "succeeded")
    assert trace(project) == ["apart", "first", "second", "second"]
    shown = agentctl("show", failed, "--json").json
    assert {step["path"]: step["output"] for step in shown["steps"]}["third"] == {"said": "one two"}


def test_a_run_that_succeeded_has_nothing_to_resume(agentctl, project, failed):
    project.write("ok", "two")
    assert agentctl("resume", failed).code == 0
    result = agentctl("resume", failed, "--json")
    assert (result.code, result.json["error"]["type"]) == (2, "nothing_to_resume")


def test_from_runs_a_step_and_what_needs_it_anew(agentctl, project, failed):
    project.write("ok", "two")
    assert agentctl("resume", failed).code == 0
    result = agentctl("resume", failed, "--from", "second", "--json")
    assert (result.code, result.json["status"]) == (0, "succeeded")
    assert trace(project) == ["apart", "first", "second", "second", "second"]


def test_from_an_unknown_step_exits_with_4_and_the_nearest_one(agentctl, failed):
    result = agentctl("resume", failed, "--from", "secnd")
    assert result.code == 4
    assert "did you mean 'second'" in result.err


def test_plan_says_what_would_happen_and_changes_nothing(agentctl, project, failed):
    before = agentctl("show", failed, "--json").json["events"]
    planned = agentctl("resume", failed, "--plan", "--json")
    assert planned.code == 0
    assert {row["path"]: row["action"] for row in planned.json} == {
        "first": "reuse",
        "second": "rerun",
        "third": "run",
        "apart": "reuse",
    }
    assert all(list(row) == ["path", "action", "reason"] for row in planned.json)
    anew = agentctl("resume", failed, "--plan", "--from", "first", "--json").json
    assert {row["path"]: row["action"] for row in anew}["first"] == "rerun"
    assert agentctl("resume", failed, "--plan").out.startswith("reuse  first")
    assert agentctl("show", failed, "--json").json["events"] == before


def test_latest_takes_the_edited_definition_where_finished_steps_are_the_same(agentctl, project, failed):
    project.write("loops/flaky.yaml", FLAKY.replace("cat ok", "echo fixed"))
    result = agentctl("resume", failed, "--latest", "--json")
    assert (result.code, result.json["status"]) == (0, "succeeded")
    assert trace(project) == ["apart", "first", "second", "second"]


def test_without_latest_a_run_stays_with_the_definition_it_began_with(agentctl, project, failed):
    project.write("loops/flaky.yaml", FLAKY.replace("cat ok", "echo fixed"))
    assert agentctl("resume", failed).code == 1


def test_latest_refuses_when_a_finished_step_was_changed(agentctl, project, failed):
    project.write("loops/flaky.yaml", FLAKY.replace("echo one", "echo uno").replace("cat ok", "echo fixed"))
    result = agentctl("resume", failed, "--latest")
    assert result.code == 2
    assert "step first" in result.err
    assert "loops/flaky.yaml:3" in result.err
    assert trace(project) == ["apart", "first", "second"]
    contested = {row["path"]: row["action"] for row in agentctl("resume", failed, "--latest", "--plan", "--json").json}
    assert contested["first"] == "conflict"


def test_latest_takes_an_edited_finished_step_that_from_runs_anew(agentctl, project, failed):
    project.write("loops/flaky.yaml", FLAKY.replace("echo one", "echo uno").replace("cat ok", "echo fixed"))
    planned = agentctl("resume", failed, "--latest", "--from", "first", "--plan", "--json").json
    assert {row["path"]: row["action"] for row in planned}["first"] == "rerun"
    result = agentctl("resume", failed, "--latest", "--from", "first", "--json")
    assert (result.code, result.json["status"]) == (0, "succeeded")
    assert trace(project) == ["apart", "first", "first", "second", "second"]
    steps = agentctl("show", failed, "--json").json["steps"]
    assert {step["path"]: step["output"] for step in steps}["first"] == "uno"


def test_latest_refuses_a_file_that_now_defines_another_loop(agentctl, project, failed):
    project.write("loops/flaky.yaml", FLAKY.replace("loop: flaky", "loop: steady"))
    result = agentctl("resume", failed, "--latest")
    assert result.code == 2
    assert "now defines 'steady'" in result.err
    assert trace(project) == ["apart", "first", "second"]


def test_latest_of_a_file_that_is_gone_exits_with_4(agentctl, project, failed):
    (project.root / "loops/flaky.yaml").unlink()
    assert agentctl("resume", failed, "--latest").code == 4


def test_an_interrupted_run_goes_on_where_it_stopped(agentctl, project):
    project.write(
        "loops/slow.yaml",
        """
        loop: slow
        steps:
          - id: a
            shell: "echo a >> trace"
          - id: b
            shell: "echo b >> trace; [ -e ok ] || sleep 60"
        """,
    )
    process = agentctl.start("run", "slow")
    assert "✓ a" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    project.write("ok", "")
    result = agentctl("resume", "last", "--json")
    assert (result.code, result.json["status"]) == (0, "succeeded")
    assert trace(project).count("a") == 1


def test_resume_without_waiting_leaves_when_only_waiting_is_left(agentctl, project):
    project.write("loops/patient.yaml", "loop: patient\nsteps: [{wait: {event: go}}]\n")
    run_id = agentctl("run", "patient", "--detach", "--json").json["run_id"]
    result = agentctl("resume", run_id, "--no-wait", "--json")
    assert (result.code, result.json["status"]) == (3, "waiting")
    assert result.err.splitlines()[-1] == f"waiting; continue it with: agentctl serve, or agentctl resume {run_id}"


def test_a_run_killed_with_9_goes_on_as_well(agentctl, project):
    project.write("loops/slow.yaml", 'loop: slow\nsteps: [{id: a, set: {x: 1}}, {id: b, shell: "[ -e ok ] || sleep 60"}]\n')
    process = agentctl.start("run", "slow")
    assert "✓ a" in process.stderr.readline()
    process.kill()
    process.wait()
    assert agentctl("history", "--json").json[0]["status"] == "interrupted"
    project.write("ok", "")
    assert agentctl("resume", "last").code == 0


def test_a_run_that_a_living_process_drives_is_busy(agentctl, project):
    project.write("loops/slow.yaml", "loop: slow\nsteps: [{id: a, set: {x: 1}}, {id: b, shell: [sleep, '60']}]\n")
    process = agentctl.start("run", "slow")
    assert "✓ a" in process.stderr.readline()
    result = agentctl("resume", "last", "--json")
    assert (result.code, result.json["error"]["type"]) == (5, "store.busy")
    assert process.poll() is None


def test_options_that_change_a_finished_run_refuse_one_that_has_not_ended(agentctl, project):
    project.write("loops/nap.yaml", "loop: nap\nsteps: [{id: a, wait: 1h}]\n")
    assert agentctl("run", "nap", "--no-wait").code == 3
    for option in (["--from", "a"], ["--latest"]):
        result = agentctl("resume", "last", *option)
        assert result.code == 2
        assert "has not ended" in result.err


def test_cancel_of_a_run_under_way_stops_it_and_runs_its_handlers(agentctl, project):
    project.write(
        "loops/slow.yaml",
        """
        loop: slow
        steps:
          - id: a
            set: {x: 1}
          - id: b
            shell: [sleep, "60"]
        on_cancel:
          - id: tidy
            shell: "echo tidied > trace"
        """,
    )
    process = agentctl.start("run", "slow", "--json")
    assert "✓ a" in process.stderr.readline()
    result = agentctl("cancel", "last", "--reason", "enough", "--json")
    assert (result.code, list(result.json)) == (0, ["run_id", "status"])
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert agentctl("history", "--json").json[0]["status"] == "cancelled"
    assert trace(project) == ["tidied"]


def test_cancel_of_a_run_that_nobody_drives_says_who_carries_it_out(agentctl, project):
    project.write("loops/nap.yaml", "loop: nap\nsteps: [{id: a, wait: 1h}]\n")
    assert agentctl("run", "nap", "--no-wait").code == 3
    result = agentctl("cancel", "last")
    assert result.code == 0
    assert "agentctl resume " in result.err
    assert agentctl("resume", "last", "--json").json["status"] == "cancelled"


def test_a_finished_run_cannot_be_cancelled(agentctl, failed):
    result = agentctl("cancel", failed, "--json")
    assert (result.code, result.json["error"]["type"]) == (2, "usage")


def test_resume_right_after_a_kill_waits_for_the_warden_to_end_the_steps(agentctl, project):
    project.write(
        "loops/slow.yaml",
        """
        loop: slow
        steps:
          - shell: if [ -e begun ]; then exit 0; fi; touch begun; trap '' TERM; while :; do sleep 0.05; done
        """,
    )
    run = agentctl.start("run", "slow")
    eventually((project.root / "begun").exists, "the step")
    run.kill()
    resumed = agentctl("resume", "last", "--json")
    run.communicate()
    assert (resumed.code, resumed.json["status"]) == (0, "succeeded")
