"""What happens to the service: it is killed at random, and files of definitions change under it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import workshop


class Keeper:
    """Starts `agentctl serve`, kills it now and then, and starts it again."""

    def __init__(self, root: Path, environment: Mapping[str, str], port: int, seed: int, longest: float) -> None:
        self._root, self._environment, self._port, self._longest = root, dict(environment), port, longest
        self._dice = random.Random(f"{seed}/keeper")
        self._log = (root / "serve.log").open("a+b")
        self.kills = self.stops = 0
        self.deaths: list[str] = []  # ends that were not of our making
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agentctl", "serve", "--listen", f"127.0.0.1:{self._port}"]
        files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": self._log, "stderr": self._log}
        return subprocess.Popen(command, cwd=self._root, env=self._environment, **files)

    def torment(self, seconds: float) -> None:
        """Kill at random for so long; one that lives is left behind. Some die before they are ready, most at their work."""
        end = time.monotonic() + seconds
        while True:
            early = self._dice.random() < 0.2
            life = self._dice.uniform(0.05, 0.6) if early else self._dice.uniform(0.1, self._longest)
            if not early:
                self._until_ready()
            left = end - time.monotonic()
            try:
                self.process.wait(timeout=max(0.0, min(life, left)))
            except subprocess.TimeoutExpired:
                if life >= left:
                    return
                self._harm()
            else:
                self.deaths.append(f"serve ended by itself with {self.process.returncode}")
                time.sleep(0.2)
            self.process = self._start()

    def _harm(self) -> None:
        """Mostly SIGKILL; now and then it is stopped like any service, after a nap of the host or a reload, or not."""
        dice = self._dice.random()
        if dice < 0.15:
            self.process.send_signal(signal.SIGSTOP)
            time.sleep(self._dice.uniform(0.1, 2.0))
            self.process.send_signal(signal.SIGCONT)
            time.sleep(self._dice.uniform(0.0, 0.5))
        elif dice < 0.3 and self._is_ready():
            self.process.send_signal(signal.SIGHUP)
            time.sleep(self._dice.uniform(0.0, 0.2))
        if self._dice.random() < 0.2:
            self.stops += 1
            ready = self._is_ready()
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(60)
            if code != 0 and (ready or code != -signal.SIGTERM):  # it may not have come so far as to care
                self.deaths.append(f"serve ended with {code} upon SIGTERM")
        else:
            self.kills += 1
            self.process.kill()
            self.process.wait()

    def _until_ready(self) -> None:
        while self.process.poll() is None and not self._is_ready():
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        """It says so in the log, not long ago."""
        self._log.seek(max(0, self._log.seek(0, 2) - 500_000))
        return f"process {self.process.pid}, listening".encode() in self._log.read()

    def end(self, patience: float) -> int | None:
        """SIGTERM; its exit code, None when it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


class Author(threading.Thread):
    """Edits definitions: well, badly, by removing them and bringing them back, in place and by replacing the file."""

    def __init__(self, root: Path, seed: int, over: threading.Event) -> None:
        super().__init__(name="author", daemon=True)
        self._root, self._over = root, over
        self._dice = random.Random(f"{seed}/author")
        self.version = 0

    def run(self) -> None:
        while not self._over.wait(self._dice.uniform(0.05, 0.5)):
            self.version += 1
            path = self._root / f"loops/{self._dice.choice(workshop.CHURNED)}.yaml"
            text = workshop.churned_text(path.stem, self.version)
            what = self._dice.choice(("in place", "replaced", "broken", "unknown key", "removed"))
            if what == "in place":
                path.write_text(text)
            elif what == "replaced":
                aside = path.with_suffix(".new")
                aside.write_text(text)
                aside.rename(path)
            elif what == "broken":
                path.write_text(text[: len(text) // 2] + "\n  - {")
            elif what == "unknown key":
                path.write_text(text + "stepps: []\n")
            else:
                path.unlink(missing_ok=True)

    def make_good(self) -> int:
        """Every definition is there and valid again; its version."""
        self.version += 1
        for name in workshop.CHURNED:
            workshop.churned(self._root, name, self.version)
        return self.version
