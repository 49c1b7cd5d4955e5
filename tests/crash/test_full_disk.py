"""The disk is full while `agentctl serve` works: nothing acknowledged is lost, and it goes on by itself when there is room.

Once by a limit on the size of files, which every user may set for a process of his own; once on a file system that is full,
where the machine lets us mount one.
"""

from __future__ import annotations

import http.client
import json
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from waiting import eventually

from agentctl.ports import UNFINISHED, HistoryFilter
from agentctl.store.ledger import open_store

TOKEN = "of-the-test"
PATIENCE = 60.0  # seconds; a write is tried again after 10 s at the latest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process are Linux's")

LOOPS = {
    "orders": """
        loop: orders
        triggers: [{event: order.paid}]
        steps:
          - set: {paid: true}
          - shell: echo "$AGENTCTL_RUN_ID" >>shipped.log
        """,
    "slow": """
        loop: slow
        triggers: [{event: slow.wanted}]
        steps:
          - shell: touch began; while test ! -e go; do sleep 0.05; done; echo "$AGENTCTL_RUN_ID" >>slow.log
          - set: {after: true}
        """,
    "ticking": """
        loop: ticking
        triggers: [{every: 1s, catch_up: all}]
        steps: [{set: {ticked: true}}]
        """,
}


class Serving:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.said: list[str] = []
        threading.Thread(target=self.said.extend, args=(process.stderr,), daemon=True).start()
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
            assert process.poll() is None, self.said
        self._address = json.loads(text)["listen"].removeprefix("http://")

    def post(self, name: str, id: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": id}
        return self._request("POST", f"/events/{name}", headers)

    def get(self, path: str) -> int:
        return self._request("GET", path, {})[0]

    def _request(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE)
        try:
            connection.request(method, path, b"{}" if method == "POST" else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


# Under the limit Python would write its compiled modules in part, for all who import them later.
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


class Disk(Protocol):
    """Where the store is."""

    store: str

    def fill(self, pid: int) -> None: ...

    def make_room(self, pid: int) -> None: ...

    def send(self, arguments: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        """A command of another process, on the same disk."""


class SizeLimit:
    """No file of the process may grow over a page."""

    store = ".agentctl/agentctl.db"

    def fill(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def make_room(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def send(self, arguments: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        limited = ["sh", "-c", 'ulimit -S -f 8; exec "$@"', "sh", *arguments]  # in blocks of 512 bytes
        more["env"] = {**more["env"], **NO_BYTECODE}
        return subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE, **more)


class FullDisk:
    """A file system of 6 MiB."""

    def __init__(self, place: Path) -> None:
        self.store = f"{place}/agentctl.db"
        self._filler = place / "filler"

    def fill(self, pid: int) -> None:
        with self._filler.open("ab", buffering=0) as filler:
            for size in (65_536, 512):
                try:
                    while filler.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def make_room(self, pid: int) -> None:
        self._filler.unlink()

    def send(self, arguments: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, **more)


@pytest.fixture(params=["a limit on the size of files", "a full file system"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param != "a full file system":
        yield SizeLimit()
        return
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield FullDisk(place)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def serving(project: Any, agentctl: Any, disk: Disk) -> Iterator[Serving]:
    project.write("agentctl.yaml", f"store: {disk.store}\n")
    for name, text in LOOPS.items():
        project.write(f"loops/{name}.yaml", text)
    environment = {"AGENTCTL_TOKEN": TOKEN, **NO_BYTECODE}
    process = agentctl.start("serve", "--listen", "127.0.0.1:0", "--json", env=environment)
    yield Serving(process)
    process.kill()
    process.wait()


def test_what_is_acknowledged_outlives_a_full_disk_and_serve_goes_on_when_there_is_room(
    project: Any, agentctl: Any, disk: Disk, serving: Serving
) -> None:
    pid = serving.process.pid
    acknowledged = [f"early-{number}" for number in range(20)]
    assert [serving.post("order.paid", id)[0] for id in acknowledged] == [202] * 20
    assert serving.post("slow.wanted", "slow")[0] == 202
    eventually((project.root / "began").exists, "the slow step begins")

    disk.fill(pid)
    refused = []
    for number in range(300):  # what is left of a page may take some
        status, document = serving.post("order.paid", f"full-{number}")
        (acknowledged if status == 202 else refused).append(f"full-{number}")
        assert status in (202, 503), document
        if len(refused) == 5:
            break
    assert len(refused) == 5
    command = [sys.executable, "-m", "agentctl", "send", "order.paid", "--id", "by-hand"]
    sent = disk.send(command, cwd=project.root, env=agentctl.environment())
    assert (sent.returncode, "Traceback" in sent.stderr) == (5, False), sent.stderr
    (project.root / "go").touch()  # the slow step ends now, and its end cannot be written
    eventually((project.root / "slow.log").exists, "the slow step ends")
    eventually(lambda: serving.get("/readyz") == 503, "it says that it is not ready")
    assert serving.get("/healthz") == 200
    time.sleep(1.5)  # slots come and cannot be settled
    assert serving.process.poll() is None, serving.said

    disk.make_room(pid)
    later = [*refused, "late"]
    for id in later:
        eventually(lambda id=id: serving.post("order.paid", id)[0] == 202, f"event {id} is taken")
    eventually(lambda: serving.get("/readyz") == 200, "it says that it is ready")
    store = open_store(project.root / disk.store, read_only=True)
    eventually(lambda: not store.history(HistoryFilter(name="slow", status=UNFINISHED)), "the slow run ends")
    eventually(lambda: not store.history(HistoryFilter(name="orders", status=UNFINISHED)), "every run ends")
    last = store.slots("ticking")[0].slot
    eventually(lambda: store.slots("ticking")[0].slot >= last + 2, "it goes on to tick")
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(PATIENCE) == 0

    runs = {name: store.history(HistoryFilter(name=name, limit=10_000)) for name in LOOPS}
    slots = [(row.slot, row.run_id) for row in reversed(store.slots("ticking", limit=10_000))]
    store.close()
    assert {row.status for rows in runs.values() for row in rows} == {"succeeded"}
    assert Counter(row.event["id"] for row in runs["orders"]) == Counter([*acknowledged, *later])
    assert sorted((project.root / "shipped.log").read_text().split()) == sorted(row.id for row in runs["orders"])
    assert (project.root / "slow.log").read_text().split() == [row.id for row in runs["slow"]], "not executed exactly once"
    assert [slot for slot, _ in slots] == [slots[0][0] + number for number in range(len(slots))], "a slot is missing"
    assert {run_id for _, run_id in slots} == {row.id for row in runs["ticking"]}
