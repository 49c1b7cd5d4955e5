"""Flow control as people meet it: what a command says, what it answers, and how it ends."""

from __future__ import annotations

import signal
import subprocess

import pytest

HOLD = """
  - id: hold
    shell: 'touch busy; until [ -e go ]; do sleep 0.02; done'
"""


@pytest.fixture(autouse=True)
def loops(project):
    project.write("loops/one.yaml", "loop: one\nconcurrency: 1\nsteps:\n" + HOLD)
    project.write(
        "loops/single.yaml", "loop: single\nconcurrency: {limit: 1, on_limit: skip}\nsteps:\n" + HOLD
    )
    project.write(
        "loops/latest.yaml",
        "loop: latest\nconcurrency: {limit: 1, on_limit: cancel_running}\nsteps:\n" + HOLD,
    )
    project.write(
        "loops/order.yaml",
        """
        loop: order
        input: {id: {type: integer}, fail: {type: boolean, default: false}}
        dedupe: {key: "${{ input.id }}", for: 1h}
        steps:
          - if: ${{ input.fail }}
            fail: no
          - set: {done: "${{ input.id }}"}
        """,
    )


def lines_until(process: subprocess.Popen[str], wanted: str) -> str:
    """The first line of stderr that holds the text; fails the test when the command ends without one."""
    for line in process.stderr:
        if wanted in line:
            return line.rstrip()
    pytest.fail(f"it never said {wanted!r}")


def held(agentctl, project, name="one") -> tuple[subprocess.Popen[str], str]:
    """A command that is at work on the step that holds, and its run's id."""
    process = agentctl.start("run", name)
    while not (project.root / "busy").exists():
        assert process.poll() is None
    return process, agentctl("history", "--loop", name, "--json").json[0]["run_id"]


def test_a_run_waits_for_its_place_says_for_whom_and_goes_on_when_that_has_ended(agentctl, project):
    holder, run_id = held(agentctl, project)
    waiter = agentctl.start("run", "one", "--json")
    assert lines_until(waiter, "waits") == f"one  · waits for a place: concurrency 1 of one is held by run {run_id}"
    (project.root / "go").touch()
    out, err = waiter.communicate(timeout=20)
    assert waiter.returncode == 0
    assert '"status": "succeeded"' in out
    assert "succeeded" in err
    assert holder.wait(timeout=20) == 0


def test_no_wait_leaves_a_run_that_stands_in_line_with_exit_code_3(agentctl, project):
    held(agentctl, project)
    result = agentctl("run", "one", "--no-wait", "--json")
    assert (result.code, result.json["status"]) == (3, "queued")
    assert result.err.splitlines()[-1] == f"queued; continue it with: agentctl serve, or agentctl resume {result.json['run_id']}"


def test_an_interrupt_leaves_a_run_that_stands_in_line_in_the_queue(agentctl, project):
    holder, _ = held(agentctl, project)
    waiter = agentctl.start("run", "one")
    lines_until(waiter, "waits")
    waiter.send_signal(signal.SIGINT)
    _, err = waiter.communicate(timeout=20)
    run = agentctl("history", "--json").json[0]
    assert (waiter.returncode, run["status"]) == (130, "queued")
    assert err.splitlines()[-1] == f"interrupted; resume it with: agentctl resume {run['run_id']}"
    (project.root / "go").touch()
    assert holder.wait(timeout=20) == 0
    assert agentctl("resume", run["run_id"]).code == 0


def test_history_and_show_say_why_a_queued_run_stands_in_line(agentctl, project):
    _, run_id = held(agentctl, project)
    queued = agentctl("run", "one", "--detach", "--json")
    reason = f"waits for a place: concurrency 1 of one is held by run {run_id}"
    assert reason in queued.err
    assert reason in agentctl("history").out
    assert reason in agentctl("show", queued.json["run_id"]).out
    assert agentctl("show", queued.json["run_id"], "--json").json["run"]["waits_for"] == reason
    assert agentctl("show", run_id, "--json").json["run"]["waits_for"] is None


def test_a_run_that_is_skipped_is_an_error_and_makes_no_run(agentctl, project):
    _, run_id = held(agentctl, project, "single")
    for more in ([], ["--detach"], ["--no-wait"]):
        result = agentctl("run", "single", "--json", *more)
        reason = f"concurrency 1 of single is taken by run {run_id}, and on_limit: skip starts no other"
        assert (result.code, result.json["error"]["type"]) == (1, "not_started")
        assert result.json["error"]["message"] == f"loop single was not started: {reason}"
    assert len(agentctl("history", "--json").json) == 1


def test_cancel_running_ends_the_run_before_and_names_the_one_that_takes_its_place(agentctl, project):
    holder, run_id = held(agentctl, project, "latest")
    newest = agentctl.start("run", "latest")
    _, err = holder.communicate(timeout=20)
    assert holder.returncode == 1
    (project.root / "go").touch()
    assert newest.wait(timeout=20) == 0
    rows = agentctl("history", "--json").json
    assert [(row["run_id"] == run_id, row["status"]) for row in rows] == [(False, "succeeded"), (True, "cancelled")]
    assert f"run {rows[0]['run_id']} was started, and takes its place" in err + str(rows[1]["error"])


def test_a_killed_run_does_not_keep_its_place(agentctl, project):
    holder, run_id = held(agentctl, project)
    holder.kill()
    holder.wait()
    (project.root / "go").touch()
    assert agentctl("run", "one").code == 0
    assert agentctl("resume", run_id).code == 0


def test_a_run_in_line_takes_the_place_of_one_whose_process_is_killed(agentctl, project):
    holder, run_id = held(agentctl, project)
    waiter = agentctl.start("run", "one")
    lines_until(waiter, f"held by run {run_id}")
    holder.kill()
    holder.wait()
    (project.root / "go").touch()
    waiter.communicate(timeout=10)
    assert waiter.returncode == 0


def test_a_repeated_key_hands_back_the_first_run(agentctl):
    first = agentctl("run", "order", "-i", "id=7", "--json")
    again = agentctl("run", "order", "-i", "id=7", "--json")
    assert (again.code, again.json) == (0, first.json)
    assert f"run {first.json['run_id']} was started with the same key of dedupe; continuing with that run" in again.err
    detached = agentctl("run", "order", "-i", "id=7", "--detach", "--json")
    assert detached.json == {"run_id": first.json["run_id"], "status": "succeeded"}
    assert len(agentctl("history", "--json").json) == 1
    assert agentctl("run", "order", "-i", "id=8", "--json").json["run_id"] != first.json["run_id"]


def test_a_repeated_key_of_a_run_that_failed_resumes_it(agentctl):
    first = agentctl("run", "order", "-i", "id=7", "-i", "fail=true", "--json")
    again = agentctl("run", "order", "-i", "id=7", "-i", "fail=true", "--json")
    assert (first.code, again.code, again.json["run_id"]) == (1, 1, first.json["run_id"])
    assert [event["type"] for event in agentctl("show", "last", "--json").json["events"]].count("RunResumed") == 1


def test_a_start_over_the_rate_limit_is_an_error(agentctl, project):
    project.write("loops/rare.yaml", "loop: rare\nrate_limit: {limit: 2, per: 1h}\nsteps: [set: {a: 1}]\n")
    codes = [agentctl("run", "rare").code for _ in range(3)]
    assert codes == [0, 0, 1]
    result = agentctl("run", "rare", "--json")
    assert result.json["error"]["message"] == "loop rare was not started: rate_limit 2 in 1h of rare lets no more start"


def test_of_those_in_line_the_one_with_the_highest_priority_starts_first(agentctl, project):
    project.write(
        "loops/ranked.yaml",
        """
        loop: ranked
        input: {rank: {type: integer, default: 0}}
        concurrency: 1
        priority: input.rank
        steps:
          - shell: 'touch busy; until [ -e go ]; do sleep 0.02; done'
        """,
    )
    held(agentctl, project, "ranked")
    waiters = []
    for rank in (1, 3, 2):
        waiters.append(agentctl.start("run", "ranked", "-i", f"rank={rank}"))
        lines_until(waiters[-1], "waits")
    (project.root / "go").touch()
    assert [waiter.wait(timeout=20) for waiter in waiters] == [0, 0, 0]
    runs = sorted(agentctl("history", "--json").json, key=lambda run: run["started_at"])
    ranks = [agentctl("show", run["run_id"], "--json").json["run"]["input"]["rank"] for run in runs]
    assert ranks == [0, 3, 2, 1]


def test_events_are_gathered_by_their_key(agentctl, project):
    project.write(
        "loops/batched.yaml",
        """
        loop: batched
        triggers: [event: saved]
        batch: {size: 2, for: 1h, key: "${{ event.data.folder }}"}
        input: {events: {type: array}}
        steps: [set: {n: 1}]
        """,
    )
    project.write(
        "loops/settled.yaml",
        """
        loop: settled
        triggers: [event: edited]
        debounce: {for: 1h, key: "${{ event.data.site }}"}
        steps: [set: {n: 1}]
        """,
    )
    sent = [agentctl("send", "saved", "-d", f'{{"folder": "{folder}"}}', "--json").json["started"] for folder in "aba"]
    assert [len(started) for started in sent] == [0, 0, 1]
    assert agentctl("send", "edited", "-d", '{"site": "x"}', "--json").json["started"] == []


def test_a_key_that_cannot_be_evaluated_is_named(agentctl, project):
    project.write(
        "loops/keyed.yaml",
        """
        loop: keyed
        throttle: {limit: 1, per: 1m, key: "${{ event.data.id }}"}
        steps: [set: {a: 1}]
        """,
    )
    result = agentctl("run", "keyed")
    assert result.code == 2
    assert result.err.startswith("error: keyed: the key of throttle cannot be evaluated: 'event' is not defined")
    assert agentctl("history", "--json").json == []


def test_runs_with_another_key_do_not_stand_in_line(agentctl, project):
    project.write(
        "loops/each.yaml",
        """
        loop: each
        input: {customer: {type: string}}
        concurrency: {limit: 1, key: input.customer}
        steps: [wait: {event: never.sent}]
        """,
    )
    ends = [agentctl("run", "each", "-i", f"customer={name}", "--no-wait", "--json").json["status"] for name in ("a", "a", "b")]
    assert ends == ["waiting", "queued", "waiting"]


def test_a_wait_for_a_run_that_nobody_drives_names_the_commands_that_would(agentctl, project):
    project.write("loops/patient.yaml", "loop: patient\nconcurrency: 1\nsteps: [wait: {event: never.sent}]\n")
    asleep = agentctl("run", "patient", "--no-wait", "--json")
    assert (asleep.code, asleep.json["status"]) == (3, "waiting")
    result = agentctl("run", "patient", "--no-wait")
    run_id = asleep.json["run_id"]
    by = f"continue it with: agentctl serve, or agentctl resume {run_id}"
    assert f"  no process is driving run {run_id} (waiting); {by}" in result.err.splitlines()
