"""Interrupts around the moment at which a run is made."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from agentctl.cli.foreground.interrupts import handling_interrupts

STUBBORN = "loop: stubborn\nsteps: [{shell: \"trap '' TERM; echo > begun; exec sleep 60\"}]\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_run_is_driven_stops_it_as_soon_as_it_is(number):
    stopped = asyncio.Event()

    async def interrupted_too_early() -> None:
        with handling_interrupts(json=False) as interrupts:
            os.kill(os.getpid(), number)
            await interrupts.came.wait()
            with interrupts.answered(stopped.set, lambda: None, "interrupted"):
                assert stopped.is_set()

    asyncio.run(interrupted_too_early())


def test_a_second_interrupt_of_a_json_command_still_leaves_one_document(agentctl, project):
    project.write("loops/stubborn.yaml", STUBBORN)
    os.mkfifo(project.root / "begun")
    process = agentctl.start("run", "stubborn", "--json")
    (project.root / "begun").read_text()
    process.send_signal(signal.SIGINT)
    assert "again to stop at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    run_id = agentctl("history", "--json").json[0]["run_id"]
    assert (process.returncode, json.loads(out)["error"]["type"]) == (130, "interrupted")
    assert err.splitlines()[-1] == f"interrupted; resume it with: agentctl resume {run_id}"


def test_a_second_interrupt_ends_a_json_command_whose_reader_has_gone(agentctl, project):
    """As in `agentctl run x --json | jq .`: the key that interrupts the one ends the other."""
    project.write("loops/stubborn.yaml", STUBBORN)
    os.mkfifo(project.root / "begun")
    process = agentctl.start("run", "stubborn", "--json")
    (project.root / "begun").read_text()
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert "again to stop at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    run_id = agentctl("history", "--json").json[0]["run_id"]
    assert process.stderr.read() == f"interrupted; resume it with: agentctl resume {run_id}\n"
