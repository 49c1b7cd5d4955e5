"""Loops that events start, in a project where nobody has ever served."""

from __future__ import annotations


def started(agentctl) -> dict[str, str]:
    """The runs in the store: definition -> status."""
    return {row["loop"]: row["status"] for row in agentctl("history", "--json").json}


def test_an_emitted_event_starts_a_loop_in_a_fresh_store(project, agentctl):
    project.write("loops/tell.yaml", "loop: tell\nsteps: [{emit: {event: order.placed, data: {n: 1}}}]\n")
    project.write("loops/hear.yaml", "loop: hear\ntriggers: [{event: order.placed}]\nsteps: [{set: {a: 1}}]\n")
    assert agentctl("run", "tell").code == 0
    assert started(agentctl) == {"tell": "succeeded", "hear": "queued"}


def test_the_failure_of_a_run_starts_a_loop_in_a_fresh_store(project, agentctl):
    project.write("loops/break.yaml", "loop: break\nsteps: [{fail: no}]\n")
    project.write("loops/hear.yaml", "loop: hear\ntriggers: [{event: agentctl.run.failed}]\nsteps: [{set: {a: 1}}]\n")
    assert agentctl("run", "break").code == 1
    assert started(agentctl) == {"break": "failed", "hear": "queued"}
