"""The process is killed at every commit while it buys from a model, and again on resume: the budget holds all the same.

The model is a loopback server that counts what it sells. A process that dies leaves calls under way that nobody will account for;
each of them counts as its estimate, which here is exact, so not a single call too many is sold.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

PRICE = 100  # tokens of a call
BUDGET = 450

# One process: creates the run of ROOT, or goes on with it; each llm step is a request to the server.
PROCESS = """
import asyncio, sys, urllib.request
from pathlib import Path
from agentctl.core.events import Usage
from agentctl.expressions.parse import parse_expression
from agentctl.model import Budget, Foreach, Step
from agentctl.ports import Outcome
from agentctl.testing.definitions import skill, stored, task
from agentctl.testing.fixtures import World

root, url, per, tokens, price = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])

async def buy(call):
    await asyncio.to_thread(lambda: urllib.request.urlopen(url, data=b"").read())
    return Outcome("sold", Usage(output_tokens=price))

def each(id, *steps):
    action = Foreach(parse_expression("range(3)"), steps, max_parallel=2)
    return Step(id=id, action=action, uses="foreach", continue_on_error=True)

def ask(id):
    return task(id, {"prompt": "", "max_tokens": price}, uses="llm")

world = World(root)
world.skills["child"] = stored("child", ask("q"), kind="skill")
for n in range(3):
    world.llm.behave[f"each[{n}].a"] = buy
world.llm.behave["q"] = world.llm.behave["last"] = buy
steps = each("each", ask("a")), each("more", skill("c", "child")), ask("last")
definition = stored("loop", *steps, budget=Budget(tokens, per=per))

async def main():
    engine = world.engine()
    note = root / "id"
    if not note.exists():
        run_id = await engine.create(definition, {})
        note.write_text(run_id)
    row = await engine.drive((root / "id").read_text())
    print(row.status, row.error.type if row.error else None)

asyncio.run(asyncio.wait_for(main(), 30))
world.close()
"""


def process(root: Path, shop: Any, per: str, repository: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROCESS, str(root), shop.url, per, str(BUDGET), str(PRICE)],
        env={**os.environ, "PYTHONPATH": str(repository), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("per", "part", "parts"), [("run", 0, 2), ("run", 1, 2), ("day", 0, 3)])
def test_a_budget_is_not_overspent_by_a_process_that_dies_at_any_commit(
    per: str, part: int, parts: int, server: Any, tmp_path: Path, repository: Path
) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    counted = tmp_path / "count"
    undisturbed = process(calm, server, per, repository, AGENTCTL_CRASH_COUNT=str(counted))
    assert undisturbed.stdout.split() == ["failed", "budget.exceeded"], undisturbed.stderr
    assert len(server.requests) == BUDGET // PRICE
    points = int(counted.read_text())

    for point in range(1 + part, points + 1, parts):
        root = tmp_path / str(point)
        root.mkdir()
        server.requests.clear()
        killed = process(root, server, per, repository, AGENTCTL_CRASH_AT=str(point))
        if killed.returncode != -signal.SIGKILL:  # calls end in another order each time, and share commits
            assert killed.stdout.split() == ["failed", "budget.exceeded"], killed.stderr
        again = process(root, server, per, repository, AGENTCTL_CRASH_AT="7")
        assert again.returncode in (0, -signal.SIGKILL), again.stderr
        last = process(root, server, per, repository)
        assert last.stdout.split() == ["failed", "budget.exceeded"], f"point {point}: {last.stderr}"
        assert len(server.requests) <= BUDGET // PRICE, f"point {point}"


LOOP = """
loop: asker
budget: {tokens: 60}
steps:
  - id: ask
    foreach: ${{ range(5) }}
    steps:
      - llm: {messages: [{role: user, content: hi}], max_tokens: 15}
"""


def test_a_real_call_that_was_cut_off_by_a_kill_stays_reserved(agentctl: Any, project: Any, server: Any) -> None:
    """Through litellm. A call is estimated at 8 + 15 tokens and costs 10: what is left after a kill admits fewer of them."""
    asked, release = threading.Semaphore(0), threading.Event()

    def answer(_: Any) -> Any:
        held = len(server.requests) == 2
        asked.release()
        if held:
            release.wait(30)
            return None
        return server.completion("hello", (4, 6), model="small")

    server.answer = answer
    project.write("agentctl.yaml", f"models: {{default: {{model: openai/small, api_base: '{server.url}', api_key: k}}}}\n")
    project.write("loops/asker.yaml", LOOP)
    first = agentctl.start("run", "asker")
    for _ in range(2):
        assert asked.acquire(timeout=60)
    first.kill()
    first.wait()
    release.set()

    resumed = agentctl("resume", "last", "--json")
    assert (resumed.code, resumed.json["error"]["type"]) == (1, "budget.exceeded"), resumed.err
    data = resumed.json["error"]["data"]
    estimate = data["estimate_tokens"]
    # one answered (10), one was cut off (its estimate), and then as many as fit
    assert data["spent_tokens"] == 10 * (len(server.requests) - 1) + estimate
    assert data["spent_tokens"] + estimate > 60
    [run] = agentctl("history", "--json").json
    assert run["usage"]["input_tokens"] + run["usage"]["output_tokens"] == 10 * (len(server.requests) - 1)
    [stats] = agentctl("stats", "asker", "--json").json
    assert (stats["runs"], stats["success_rate"], stats["saved"]) == (1, 0.0, {"tokens": 10, "usd": None})
