"""Those who send: events and signed webhooks over HTTP, events by `agentctl send`, files. Each remembers what it was told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import workshop
from workshop import HOOKED, SECRET

# kind of event -> its share of all
SHARES = {
    "plain": 30,
    "effect": 1,
    "keyed": 12,
    "throttled": 4,
    "limited": 8,
    "deduped": 8,
    "batched": 10,
    "debounced": 6,
    "asked": 5,
    "churn": 4,
    "hook": 12,
}
KEYS = 12


@dataclass
class Sent:
    """One event as its sender knows it. `acknowledged`: it was told that the event is kept (202, exit 0).

    `started`: the runs that it was told of.  `refused`: the last answer was that it is not kept.  `unanswered`: it was sent at
    least once without an answer, so that nobody can say.
    """

    id: str
    name: str
    data: dict[str, Any]
    acknowledged: bool = False
    refused: bool = False
    unanswered: bool = False
    duplicate: bool = False
    started: list[str] = field(default_factory=list)


class Ledger:
    """What all senders were told; shared by their threads (a list's `append` needs no lock)."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.files: dict[str, str] = {}  # path -> sha256
        self.by_hand: list[str] = []  # runs
        self.problems: list[str] = []
        self.answers: dict[str, int] = {}  # what came back, by kind
        self._lock = threading.Lock()

    def count(self, what: str) -> None:
        with self._lock:
            self.answers[what] = self.answers.get(what, 0) + 1


class Caller(threading.Thread):
    """Sends `rate` events a second until told to stop. One that got no answer is sent again or given up, as the dice fall."""

    def __init__(self, number: int, seed: int, port: int, token: str, rate: float, ledger: Ledger, over: threading.Event) -> None:
        super().__init__(name=f"caller-{number}", daemon=True)
        self._dice = random.Random(f"{seed}/{number}")
        self._number = number
        self._port = port
        self._token = token
        self._pause = 1 / rate
        self._ledger = ledger
        self._over = over
        self._connection: HTTPConnection | None = None
        self._count = 0

    def run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._count += 1
            self.send_some()
            due = max(due + self._pause, time.monotonic() - 1)  # what could not be sent for a second is not made up for
            self._over.wait(max(0.0, due - time.monotonic()))

    def send_some(self) -> None:
        kind = self._dice.choices(list(SHARES), list(SHARES.values()))[0]
        n = self._number * 1_000_000 + self._count
        if kind == "hook":
            self._hook(n)
            return
        key = f"k{self._dice.randrange(KEYS)}"
        sent = self.send(f"soak.{kind}", {"n": n, "key": key})
        if kind == "asked" and sent.acknowledged:
            self.send("soak.answer", {"n": n})
        if sent.acknowledged and self._dice.random() < 0.03:
            self._again(sent)

    def send(self, name: str, data: dict[str, Any]) -> Sent:
        sent = Sent(f"{name}-{data['n']}", name, data)
        self._deliver(sent, f"/events/{name}", json.dumps(data).encode(), {"Idempotency-Key": sent.id, **self._bearer()})
        return sent

    def insist(self, name: str, data: dict[str, Any]) -> Sent:
        """The same until it is acknowledged; for when the killing is over."""
        while not (sent := self.send(name, data)).acknowledged:
            time.sleep(0.1)
        return sent

    def _again(self, sent: Sent) -> None:
        """It is known, so it is dropped."""
        headers = {"Idempotency-Key": sent.id, **self._bearer()}
        answer = self._post(f"/events/{sent.name}", json.dumps(sent.data).encode(), headers)
        if answer is not None and answer[0] == 202 and (not answer[1]["duplicate"] or answer[1]["started"]):
            self._ledger.problems.append(f"event {sent.id} was sent again and taken again: {answer[1]}")

    def _hook(self, n: int) -> None:
        path, scheme = self._dice.choice(list(HOOKED.items()))
        data, delivery = {"n": n}, f"d-{n}"
        content = json.dumps(data).encode()
        sent = Sent(f"/{path}:{delivery}", f"agentctl.webhook.{path}", data)
        if self._dice.random() < 0.05:
            forged = {**signature(scheme, delivery, content), "x-delivery-id": "forged", "webhook-id": "forged"}
            answer = self._post(f"/hooks/{path}", content + b" ", forged)
            if answer is not None and answer[0] not in (401, 503):
                self._ledger.problems.append(f"a forged webhook was answered with {answer}")
        self._deliver(sent, f"/hooks/{path}", content, lambda: signature(scheme, delivery, content))

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _deliver(self, sent: Sent, path: str, content: bytes, headers: Any) -> None:
        self._ledger.sent.append(sent)
        while True:
            answer = self._post(path, content, headers() if callable(headers) else headers)
            if answer is not None and answer[0] == 202:
                sent.acknowledged, sent.refused = True, False
                sent.duplicate, sent.started = answer[1]["duplicate"], answer[1]["started"]
                return
            if answer is not None and answer[0] != 503:
                self._ledger.problems.append(f"{path} was answered with {answer}")
                return
            sent.refused, sent.unanswered = answer is not None, sent.unanswered or answer is None
            if self._dice.random() < 0.3:
                return
            time.sleep(0.05)

    def _post(self, path: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, Any] | None:
        """Status and document; None when there was no answer."""
        try:
            if self._connection is None:
                self._connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._connection.request("POST", path, content, {"Content-Type": "application/json", **headers})
            response = self._connection.getresponse()
            document = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            self._ledger.count("no answer" if not isinstance(error, TimeoutError) else "timeout")
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return None
        self._ledger.count(str(response.status))
        return response.status, document


def signature(scheme: str, delivery: str, content: bytes) -> dict[str, str]:
    if scheme == "standard":
        now = str(int(time.time()))
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        made = base64.b64encode(hmac.digest(key, f"{delivery}.{now}.".encode() + content, "sha256")).decode()
        return {"webhook-id": delivery, "webhook-timestamp": now, "webhook-signature": f"v1,{made}"}
    digest = f"sha256={hmac.digest(SECRET.encode(), content, 'sha256').hex()}"
    if scheme == "github":
        return {"X-GitHub-Delivery": delivery, "X-Hub-Signature-256": digest}
    return {"X-Delivery-Id": delivery, "X-Signature-256": digest}


class Commander(threading.Thread):
    """A person at the command line, whether `serve` lives or not: sends, starts runs and approves them, pauses a loop."""

    def __init__(self, root: Path, environment: Mapping[str, str], ledger: Ledger, over: threading.Event) -> None:
        super().__init__(name="commander", daemon=True)
        self._root, self._environment, self._ledger, self._over = root, dict(environment), ledger, over
        self._count = 900_000_000

    def run(self) -> None:
        turn = 0
        while not self._over.wait(0.3):
            turn += 1
            if turn % 3 == 0:
                self._start()
            elif turn % 3 == 1:
                self._send()
            elif asked := self._asked():
                self._command("approve", asked[0], codes=(2, 4))
            if turn % 4 == 0:
                self._command("pause" if turn % 8 else "unpause", workshop.PAUSED)

    def _send(self) -> None:
        self._count += 1
        sent = Sent(f"soak.plain-{self._count}", "soak.plain", {"n": self._count, "key": "k"})
        self._ledger.sent.append(sent)
        done = self._command("send", sent.name, "-d", json.dumps(sent.data), "--id", sent.id)
        if done is not None:
            sent.acknowledged, sent.started = True, done["started"]

    def _start(self) -> None:
        done = self._command("run", "by-hand", "--detach")
        if done is not None:
            self._ledger.by_hand.append(done["run_id"])

    def _asked(self) -> list[str]:
        """Runs that wait for an approval which nobody has given."""
        return [waiting["run_id"] for waiting in self._command("inbox") or () if waiting["step"] == "approve_1"]

    def approve_all(self) -> None:
        """Until every run that was started by hand has been approved; for when the killing is over."""
        end = time.monotonic() + 120
        unfinished = ("history", "--loop", "by-hand", "--status", "queued", "--status", "waiting")
        while time.monotonic() < end and self._command(*unfinished):
            for run_id in self._asked():
                self._command("approve", run_id, codes=(2, 4))

    def _command(self, *words: str, codes: tuple[int, ...] = ()) -> Any:
        """What it says; None when it could not do it: the store is busy, or for one of `codes`."""
        command = [sys.executable, "-m", "agentctl", *words, "--json"]
        done = subprocess.run(command, cwd=self._root, env=self._environment, capture_output=True, text=True, timeout=60)
        self._ledger.count(f"{words[0]} {done.returncode}")
        if done.returncode == 0:
            return json.loads(done.stdout)
        if done.returncode not in (5, *codes):
            self._ledger.problems.append(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return None


class Clerk(threading.Thread):
    """Puts files into the folder that `on-file` watches, each whole at once."""

    def __init__(self, root: Path, ledger: Ledger, over: threading.Event) -> None:
        super().__init__(name="clerk", daemon=True)
        self._root, self._ledger, self._over = root, ledger, over

    def run(self) -> None:
        number = 0
        while not self._over.wait(0.4):
            number += 1
            content = json.dumps({"number": number}).encode()
            path, aside = self._root / f"inbox/{number}.json", self._root / f"effects/{number}.part"
            aside.write_bytes(content)
            aside.rename(path)
            self._ledger.files[f"inbox/{number}.json"] = hashlib.sha256(content).hexdigest()
