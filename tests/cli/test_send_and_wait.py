"""`agentctl send`, and what `run` says while it waits for an event."""

from __future__ import annotations

import time

import pytest

WAITING = """
    loop: pay
    input: {order: {type: integer, default: 7}}
    steps:
      - id: paid
        wait: {event: payment.received, if: event.data.order == input.order, timeout: 1h}
    output: ${{ steps.paid.output.data.by }}
"""


@pytest.fixture
def waiting(project, agentctl) -> str:
    """The id of a run that waits for payment.received of order 7."""
    project.write("loops/pay.yaml", WAITING)
    result = agentctl("run", "pay", "--no-wait", "--json")
    assert result.code == 3, result.err
    assert result.json["status"] == "waiting"
    return result.json["run_id"]


def until(process, word: str) -> str:
    """What the process writes to stderr, up to the line with that word."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_no_wait_says_for_what_the_run_waits_and_how_to_answer(agentctl, project):
    project.write("loops/pay.yaml", WAITING)
    result = agentctl("run", "pay", "--no-wait")
    assert result.code == 3
    assert "paid  waiting for event payment.received (until 20" in result.err
    assert "send: agentctl send payment.received -d '{...}'" in result.err
    assert "waiting; continue it with: agentctl serve, or agentctl resume" in result.err


def test_an_event_reaches_a_run_that_another_process_drives(agentctl, project):
    project.write("loops/pay.yaml", WAITING)
    process = agentctl.start("run", "pay")
    until(process, "agentctl send payment.received")
    sent = agentctl("send", "payment.received", "-d", '{"order": 7, "by": "ada"}', "--json")
    assert sent.code == 0, sent.err
    assert (sent.json["duplicate"], sent.json["started"], len(sent.json["delivered"])) == (False, [], 1)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "ada\n"), err


def test_what_nobody_drives_is_taken_on_by_resume(agentctl, waiting):
    sent = agentctl("send", "payment.received", "-d", '{"order": 7, "by": "ada"}')
    assert sent.code == 0, sent.err
    assert f"agentctl resume {waiting}" in sent.err
    resumed = agentctl("resume", waiting, "--json")
    assert (resumed.code, resumed.json["output"]) == (0, "ada")


def test_the_same_id_counts_once(agentctl, waiting):
    first = agentctl("send", "payment.received", "-d", '{"order": 7, "by": "ada"}', "--id", "p1", "--json").json
    second = agentctl("send", "payment.received", "-d", '{"order": 7, "by": "bob"}', "--id", "p1", "--json").json
    assert first == {"event_id": "p1", "duplicate": False, "started": [], "delivered": [waiting]}
    assert second == {"event_id": "p1", "duplicate": True, "started": [], "delivered": []}
    assert agentctl("resume", waiting, "--json").json["output"] == "ada"


def test_an_event_nobody_waits_for_is_kept_and_no_error(agentctl, project):
    result = agentctl("send", "nobody.cares")
    assert result.code == 0
    assert "no run waits for it now" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a b"], "parts joined by dots"),
        (["payment.*"], "is exact"),
        (["tick", "-d", "{"], "--data takes JSON"),
        (["tick", "--id", ""], "1 to 255 characters"),
    ],
)
def test_what_cannot_be_sent_is_refused(agentctl, project, arguments, said):
    result = agentctl("send", *arguments, "--json")
    assert (result.code, result.json["error"]["type"]) == (2, "usage")
    assert said in result.json["error"]["message"]
    assert not project.store.exists()


def test_wait_until_a_time_and_for_a_run(agentctl, project):
    soon = time.time() + 0.3
    project.write(
        "loops/other.yaml", f"loop: other\nsteps: [{{id: until, wait: {{until: {soon}}}}}, {{id: said, set: {{n: 5}}}}]\n"
    )
    other = agentctl("run", "other", "--detach", "--json").json["run_id"]
    project.write("loops/join.yaml", "loop: join\ninput: {id: {type: string}}\nsteps: [{wait: {run: '${{ input.id }}'}}]\n")
    process = agentctl.start("run", "join", "-i", f"id={other}", "--json")
    assert agentctl("resume", other, "--json").json["output"] == {"n": 5}
    assert time.time() >= soon
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert '"n": 5' in out


def test_a_run_that_emits_wakes_one_that_another_process_drives(agentctl, project):
    project.write("loops/pay.yaml", WAITING)
    project.write(
        "loops/tell.yaml",
        """
        loop: tell
        steps:
          - emit: {event: payment.received, data: {order: 7, by: "${{ run.loop }}"}}
        """,
    )
    process = agentctl.start("run", "pay")
    until(process, "agentctl send payment.received")
    told = agentctl("run", "tell", "--json")
    assert told.json["output"]["id"] == f"{told.json['run_id']}/emit_1"
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "tell\n"), err
