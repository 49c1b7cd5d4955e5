"""Fixtures shared by every room: a project in a temporary folder, and the real command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# What would let a test see the developer's own store, keys or model providers.
FOREIGN = ("AGENTCTL_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "AZURE_", "LITELLM_", "INCIDENT_", "CREDENTIALS_DIRECTORY")

# The tests start a thousand processes. Where Python was told to keep no bytecode, each would compile all of agentctl first.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass(frozen=True)
class Result:
    """How one command ended: exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; fails the test when there is anything else."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Project:
    """A project's root with `loops/`, `skills/` and an `agentctl.yaml`."""

    root: Path

    def write(self, name: str, text: str) -> Path:
        """Write a dedented file below the root, parents made; the path comes back."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    @property
    def store(self) -> Path:
        return self.root / ".agentctl" / "agentctl.db"


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command under test: no store, key or model of the developer, no colour, a fixed width."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "120", "LC_ALL": "C.UTF-8", **(extra or {})}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project, marked as one by its `agentctl.yaml`."""
    made = Project(tmp_path / "project")
    made.write("agentctl.yaml", "vars: {}\n")
    (made.root / "loops").mkdir()
    (made.root / "skills").mkdir()
    return made


class Agentctl:
    """`agentctl("run", "loops/x.yaml")` runs the real command in the folder `cwd` and waits for its end."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.started: list[subprocess.Popen[str]] = []

    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 60,
    ) -> Result:
        done = subprocess.run(
            self._command(arguments),
            cwd=cwd or self.cwd,
            env=clean_environment(env),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """The same without waiting: for tests that signal or kill the command. Killed at the end of the test."""
        process = subprocess.Popen(
            self._command(arguments),
            cwd=cwd or self.cwd,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    @staticmethod
    def environment() -> dict[str, str]:
        """What the command runs in, for tests that start it through a shell."""
        return clean_environment()

    @staticmethod
    def _command(arguments: tuple[str | Path, ...]) -> list[str]:
        return [sys.executable, "-m", "agentctl", *map(str, arguments)]


@pytest.fixture
def agentctl(project: Project) -> Iterator[Agentctl]:
    """The command line, run in the folder of `project` unless told otherwise."""
    command = Agentctl(project.root)
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def repository() -> Path:
    """The root of the checkout under test."""
    return REPOSITORY
