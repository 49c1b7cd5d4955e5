"""`agentctl serve --listen`: the real command, spoken to over loopback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

TOKEN = "the-token-of-the-test"


class Serving:
    """A `serve` that is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []  # on stderr
        self.url = _document(process)["listen"]
        assert process.stderr is not None
        # Else a full pipe would hold the process up.
        self._reader = threading.Thread(target=self.said.extend, args=(process.stderr,), daemon=True)
        self._reader.start()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request(method, path, body, {**authorization, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else text
        finally:
            connection.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


def _document(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            return dict(json.loads(text))
    process.wait(10)
    raise AssertionError(f"serve ended: {process.stderr and process.stderr.read()}")


@pytest.fixture
def orders(project: Any) -> None:
    project.write(
        "loops/orders.yaml",
        """
        loop: orders
        triggers:
          - event: order.paid
          - {webhook: /shop, secret: "${{ secrets.SHOP }}", scheme: hmac-sha256}
        input: {order: {type: integer, default: 0}}
        steps: [{set: {order: "${{ input.order }}"}}]
        """,
    )


@pytest.fixture
def serving(agentctl: Any, orders: None) -> Serving:
    env = {"AGENTCTL_TOKEN": TOKEN, "SHOP": "hush"}
    return Serving(agentctl.start("serve", "--listen", "127.0.0.1:0", "--json", env=env))


def test_an_event_over_http_becomes_a_run_that_succeeds(serving: Serving, agentctl: Any) -> None:
    status, document = serving.request("POST", "/events/order.paid", b'{"order": 7}', headers={"Idempotency-Key": "p-1"})
    assert (status, document["event_id"], document["duplicate"]) == (202, "p-1", False)
    (run_id,) = document["started"]
    assert agentctl("logs", run_id, "-f").code == 0  # returns when it has ended
    run = agentctl("show", run_id, "--json").json["run"]
    assert (run["status"], run["output"]) == ("succeeded", {"order": 7})
    assert serving.request("POST", "/events/order.paid", b"{}", headers={"Idempotency-Key": "p-1"})[1]["duplicate"]
    assert serving.stop() == 0


def test_what_was_acknowledged_is_there_after_a_crash(serving: Serving, agentctl: Any) -> None:
    ids = [serving.request("POST", "/events/order.paid", b"{}")[1]["started"][0] for _ in range(20)]
    serving.process.kill()
    serving.process.wait(10)
    assert {run["run_id"] for run in agentctl("history", "--json").json} == set(ids)


def test_a_webhook_is_let_in_by_its_signature_alone(serving: Serving) -> None:
    import hashlib
    import hmac

    signature = hmac.new(b"hush", b'{"order": 1}', hashlib.sha256).hexdigest()
    signed = {"X-Signature-256": f"sha256={signature}"}
    assert serving.request("POST", "/hooks/shop", b'{"order": 1}', None, signed)[0] == 202
    assert serving.request("POST", "/hooks/shop", b'{"order": 2}', None, signed)[0] == 401
    assert serving.request("POST", "/hooks/shop", b'{"order": 2}', TOKEN)[0] == 401


def test_it_is_ready_healthy_and_tells_its_figures(serving: Serving) -> None:
    assert serving.request("GET", "/readyz", token=None) == (200, {"status": "ready"})
    assert serving.request("GET", "/healthz", token=None) == (200, {"status": "ok"})
    assert serving.request("GET", "/metrics", token=None)[0] == 401
    assert 'agentctl_deployments{state="deployed"} 1' in serving.request("GET", "/metrics")[1]


def test_neither_the_token_nor_a_secret_gets_into_the_log_or_the_store(serving: Serving, project: Any) -> None:
    serving.request("POST", "/events/order.paid", b"{}")
    serving.request("POST", "/hooks/shop", b"{}", None)
    assert serving.stop() == 0
    said = "".join(serving.said)
    assert "401: POST '/hooks/shop' from 127.0.0.1: orders: it has no header x-signature-256" in said
    assert "the bearer token is that of $AGENTCTL_TOKEN" in said
    assert TOKEN not in said
    assert "hush" not in said
    assert not any(TOKEN.encode() in path.read_bytes() for path in project.store.parent.iterdir() if path.is_file())


def test_a_step_that_prints_the_token_prints_asterisks(agentctl: Any, project: Any) -> None:
    project.write("loops/leak.yaml", f"loop: leak\ntriggers: [{{event: leak}}]\nsteps: [{{shell: 'echo it is {TOKEN}'}}]\n")
    serving = Serving(agentctl.start("serve", "--listen", "127.0.0.1:0", "--json", env={"AGENTCTL_TOKEN": TOKEN}))
    (run_id,) = serving.request("POST", "/events/leak")[1]["started"]
    assert agentctl("logs", run_id, "-f").code == 0
    assert agentctl("show", run_id, "--json").json["run"]["output"] == "it is ***"


def test_without_a_token_one_is_made_and_it_says_where(agentctl: Any, orders: None, project: Any) -> None:
    serving = Serving(agentctl.start("serve", "--listen", "127.0.0.1:0", "--json"))
    path = project.store.with_name("agentctl.db.token")
    made = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert serving.request("POST", "/events/order.paid", b"{}", made)[0] == 202
    assert serving.request("POST", "/events/order.paid", b"{}", "other")[0] == 401
    assert serving.stop() == 0
    assert str(path) in "".join(serving.said)
    assert made not in "".join(serving.said)


def test_off_loopback_it_demands_a_token_of_ones_own(agentctl: Any) -> None:
    refused = agentctl("serve", "--listen", "0.0.0.0:0")
    assert refused.code == 2
    assert "--listen 0.0.0.0:0 can be reached from other machines" in refused.err
    serving = Serving(agentctl.start("serve", "--listen", "0.0.0.0:0", "--json", env={"AGENTCTL_TOKEN": TOKEN}))
    assert serving.url.startswith("http://0.0.0.0:")
    assert serving.stop() == 0


def test_a_port_in_use_is_told_before_anything_is_driven(agentctl: Any, orders: None) -> None:
    agentctl("run", "orders", "--detach")
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused = agentctl("serve", "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert (refused.code, refused.err.count("in use by another program")) == (1, 1)
    assert [run["status"] for run in agentctl("history", "--json").json] == ["queued"]


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_it_names_the_command_that_installs_it(agentctl: Any, tmp_path: Path, missing: str) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / f"{missing}.py").write_text(f"raise ModuleNotFoundError('none', name={missing!r})\n")
    path = os.pathsep.join([str(shadow), agentctl.environment()["PYTHONPATH"]])
    refused = agentctl("serve", "--listen", "127.0.0.1:0", env={"PYTHONPATH": path})
    assert refused.code == 2
    assert f"--listen needs the package {missing}: pip install 'agentctl[serve]'" in refused.err


def test_a_serve_that_does_not_listen_imports_no_server(agentctl: Any) -> None:
    code = "import sys, agentctl.service.http.listener, agentctl.service.http.context; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=agentctl.environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert not {"'starlette'", "'uvicorn'", "'h11'"} & set(done.stdout.strip("[]\n").split(", "))
