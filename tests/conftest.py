"""Fixtures shared by every room: a project in a temporary folder, the real command line in a process of its own, a server."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, Script

REPOSITORY = Path(__file__).resolve().parent.parent

# What would let a test see the developer's own store, keys or model providers.
FOREIGN = ("AGENTCTL_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "AZURE_", "LITELLM_", "INCIDENT_", "CREDENTIALS_DIRECTORY")

PATIENCE = 60  # seconds until a test that is a coroutine, and hangs, fails

# The tests start a thousand processes. Where Python was told to keep no bytecode, each would compile all of agentctl first.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs in an event loop of its own, within the contexts that its fixtures are."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def run() -> None:
        async with AsyncExitStack() as contexts:
            for value in arguments.values():
                if isinstance(value, AbstractAsyncContextManager):
                    await contexts.enter_async_context(value)
            await asyncio.wait_for(pyfuncitem.obj(**arguments), PATIENCE)

    asyncio.run(run())
    return True


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
        self.env: dict[str, str] = {}  # of every command
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
            env=clean_environment({**self.env, **(env or {})}),
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
            env=clean_environment({**self.env, **(env or {})}),
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


Request = dict[str, Any]  # method, path, headers (names in lower case), body
Answer = tuple[int, dict[str, str], bytes]  # status, headers, body


class Server:
    """A loopback HTTP server. `answer`: what to say to a request; None hangs up without a word.  `requests`: those that came."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer | None] = lambda request: (200, {}, b"")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = {"method": self.command, "path": self.path, "headers": headers, "body": body}
                outer.requests.append(request)
                answer = outer.answer(request)
                if answer is None:
                    self.close_connection = True
                    return
                status, more, data = answer
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_one

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps the test's output free of access logs."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @staticmethod
    def json(document: Any, status: int = 200) -> Answer:
        return status, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def completion(self, text: str, tokens: tuple[int, int], model: str = "test") -> Answer:
        """What a model's provider answers. `tokens`: those of the prompt, and those of the text."""
        message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        shape = {"id": "1", "object": "chat.completion", "created": 1, "model": model}
        return self.json({**shape, "choices": [message], "usage": usage})

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def make_server() -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server())
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server: Callable[[], Server]) -> Server:
    return make_server()


@pytest.fixture
def install(tmp_path: Path, agentctl: Agentctl) -> Callable[[Path], None]:
    """Installs the Python package in a folder for the commands of a test, as pip would: its modules and its entry points."""

    def install_package(folder: Path) -> None:
        described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        target = tmp_path / "installed"
        for package in folder.glob("*/__init__.py"):
            shutil.copytree(package.parent, target / package.parent.name, ignore=shutil.ignore_patterns("__pycache__"))
        name, version = described["name"].replace("-", "_"), described["version"]
        info = target / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {version}\n")
        groups = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
            for group, points in described["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(groups))
        agentctl.env["PYTHONPATH"] = os.pathsep.join([str(target), clean_environment()["PYTHONPATH"]])

    return install_package


@pytest.fixture
def make_model() -> Iterator[Callable[[Script], ModelServer]]:
    """A scripted model that answers over HTTP, closed at the end of the test."""
    made: list[ModelServer] = []

    def make(script: Script) -> ModelServer:
        made.append(ModelServer(script))
        return made[-1]

    yield make
    for model in made:
        model.close()
