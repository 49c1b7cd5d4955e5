"""`agentctl serve`, as processes: files start runs, and edits are deployed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from waiting import eventually

PATIENCE = 30.0  # seconds

IMPORT = """
loop: import-order
triggers:
  - file: "inbox/*.json"
    on: [created, modified]
input: {path: {type: string}, sha256: {type: string}}
steps:
  - {id: order, shell: [cat, "${{ input.path }}"], parse: json}
  - {set: {number: "${{ steps.order.output.number }}", change: "${{ event.name }}"}}
"""


@pytest.fixture
def serve(agentctl, tmp_path) -> Callable[[], subprocess.Popen[str]]:
    """Starts a service and waits until it is ready."""

    def start() -> subprocess.Popen[str]:
        process = agentctl.start("serve")
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("ready: "):
                return process
        raise AssertionError("it never was ready")

    return start


@pytest.fixture
def done(agentctl) -> Callable[[int], list[tuple[str, int]]]:
    """`done(n)`: (change, number) of the first n runs that files have started, once they have succeeded; oldest first."""

    def ended(count: int) -> list[tuple[str, int]] | None:
        rows = agentctl("history", "--trigger", "file", "--status", "succeeded", "--json").json
        if len(rows) < count:
            return None
        outputs = [agentctl("show", row["run_id"], "--json").json["run"]["output"] for row in reversed(rows)]
        return [(output["change"].removeprefix("agentctl.file."), output["number"]) for output in outputs]

    return lambda count: eventually(lambda: ended(count))


def test_every_version_of_a_file_starts_one_run_through_kills(project, serve, done):
    project.write("loops/import-order.yaml", IMPORT)
    project.write("inbox/a.json", '{"number": 1}')
    first = serve()
    assert done(1) == [("created", 1)]
    first.send_signal(signal.SIGKILL)
    first.wait(PATIENCE)
    project.write("inbox/a.json", '{"number": 2}')
    second = serve()
    assert done(2) == [("created", 1), ("modified", 2)]
    project.write("inbox/b.json", '{"number": 3}')
    assert done(3)[2] == ("created", 3)
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE) == 0


def test_an_edit_serves_the_next_run_and_an_invalid_one_does_not(agentctl, project, serve, done):
    project.write("loops/import-order.yaml", IMPORT)
    serve()
    project.write("loops/import-order.yaml", IMPORT + "setps: []\n")
    found = eventually(lambda: [row for row in agentctl("doctor", "--json").json if row["check"] == "deployments"])
    assert "'import-order' is served at its last good version" in found[0]["message"]
    assert "loops/import-order.yaml:9:1: error[unknown-key]" in found[0]["message"]
    project.write("inbox/a.json", '{"number": 1}')
    assert done(1) == [("created", 1)]
    project.write("loops/import-order.yaml", IMPORT.replace("order.output.number", "order.output.number + 40"))
    eventually(lambda: not [row for row in agentctl("doctor", "--json").json if row["check"] == "deployments"])
    project.write("inbox/b.json", '{"number": 2}')
    assert done(2)[1] == ("created", 42)


def test_what_files_start_is_set_off_at_once(project, agentctl, serve):
    """Neither the engine's next look nor the gatherer's, half a minute later, is waited for."""
    triggers = IMPORT.replace("import-order", "import-batch").partition("input:")[0]
    project.write("loops/batch.yaml", triggers + "batch: {size: 100, for: 200ms}\nsteps: [{set: {a: 1}}]\n")
    (project.root / "inbox").mkdir()
    process = serve()
    (project.root / "inbox" / "7.json").write_text('{"number": 7}')
    began = time.monotonic()
    eventually(lambda: [row for row in agentctl("history", "--json").json if row["status"] == "succeeded"])
    assert time.monotonic() - began < 15
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
