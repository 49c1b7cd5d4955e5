"""200 support tickets over three days, with a process that runs out of memory now and then: a `while True` beside a loop.

    python tests/benchmarks/tickets.py [--tickets 200] [--kills 6] [--seed 1]

Both answer the same tickets with the same (pretended) model and mail service, which live outside the process and count. Both are
killed with SIGKILL at the same points of their work and started again at once. Days are virtual: the clock jumps over idle time.
Prints what each of them did, side by side: mails, duplicates, tickets lost, model calls and tokens paid.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentctl.actions.set import SetAction
from agentctl.engine.engine import Engine
from agentctl.engine.host import EngineConfig
from agentctl.language.load import load_text
from agentctl.ports import Action, Call, HistoryFilter, Outcome, StoredDefinition
from agentctl.store.ledger import open_store
from agentctl.testing.clock import VirtualClock
from agentctl.testing.fixtures import PlainSurroundings
from agentctl.triggers.events import EventTriggers

DAYS, POLL, TOKENS = 3, 600.0, 900
START = 1_800_000_000.0
END = START + DAYS * 86_400

LOOP = """
loop: support
steps:
  - id: watch
    repeat: {max: 1000, every: 10m, until: steps.inbox.output.closed}
    steps:
      - id: inbox          # the tickets that came since the last look
        shell: inbox
        env: {SEEN: "${{ last.seen if last else 0 }}"}
      - id: answers
        foreach: ${{ steps.inbox.output.tickets }}
        as: ticket
        steps:
          - {id: draft, shell: draft, env: {TICKET: "${{ ticket }}"}}
          - id: send         # cut off in the middle: look at the desk's outbox before anything is sent again
            effect: once
            on_unknown: {probe: [{id: look, shell: look, env: {TICKET: "${{ ticket }}"}}]}
            shell: send
            env: {TICKET: "${{ ticket }}"}
      - id: look
        set: {seen: "${{ steps.inbox.output.seen }}"}
"""


class World:
    """What is outside the process and survives it: tickets, model, mail, the hour. A line of a file for all that happens."""

    def __init__(self, folder: Path, arrivals: list[float], kills: set[int]) -> None:
        self.folder = folder
        self.arrivals = arrivals
        self.kills = kills
        self.log = folder / "world.jsonl"
        self.hour = folder / "now"
        self.log.touch()

    def did(self, what: str, **more: Any) -> None:
        """Write down that something was done; the process is killed when it has done that many things."""
        with self.log.open("a") as file:
            file.write(json.dumps({"what": what, **more}) + "\n")
        with self.log.open() as file:
            count = sum(1 for _ in file)
        if count in self.kills:
            os.kill(os.getpid(), signal.SIGKILL)

    def now(self) -> float:
        return float(self.hour.read_text()) if self.hour.exists() else START

    def pass_time(self, now: float) -> None:
        self.hour.write_text(repr(now))

    def arrived(self, now: float) -> int:
        return sum(at <= now for at in self.arrivals)

    def draft(self, ticket: int) -> None:
        self.did("draft", ticket=ticket, tokens=TOKENS)

    def send(self, ticket: int) -> None:
        self.did("send", ticket=ticket)

    def was_sent(self, ticket: int) -> bool:
        return any(json.loads(line) == {"what": "send", "ticket": ticket} for line in self.log.read_text().splitlines())


def naive(world: World) -> None:
    """As it is written everywhere: what was answered is known to the process. The desk shows the tickets of the last day."""
    answered: set[int] = set()
    while True:
        now = world.now()
        since = world.arrived(now - 86_400)
        for ticket in range(since, world.arrived(now)):
            if ticket not in answered:
                world.draft(ticket)
                world.send(ticket)
                answered.add(ticket)
        if now >= END:
            return
        world.pass_time(now + POLL)


class DeskAction:
    """The scripts of the loop."""

    def __init__(self, world: World, clock: VirtualClock) -> None:
        self.world = world
        self.clock = clock

    async def perform(self, call: Call, around: Any) -> Outcome:
        self.world.pass_time(self.clock.now())
        if call.params["run"].strip() == "inbox":
            seen, arrived = int(call.params["env"]["SEEN"]), self.world.arrived(self.clock.now())
            closed = self.clock.now() >= END
            return Outcome({"tickets": list(range(seen, arrived)), "seen": arrived, "closed": closed})
        ticket = int(call.params["env"]["TICKET"])
        if call.params["run"].strip() == "look":
            return Outcome({"done": self.world.was_sent(ticket), "output": "done"})
        deed = {"draft": self.world.draft, "send": self.world.send}[call.params["run"].strip()]
        deed(ticket)
        return Outcome("done")


def durable(world: World) -> None:
    asyncio.run(_drive(world))


async def _drive(world: World) -> None:
    clock = VirtualClock(world.now())
    store = open_store(world.folder / "agentctl.db")
    loaded = load_text(LOOP, "support.yaml")
    stored = StoredDefinition(version=loaded.version, definition=loaded.definition, source=loaded.source, file="support.yaml")
    actions: dict[str, Action] = {"set": SetAction(), "shell": DeskAction(world, clock)}
    equipment = EngineConfig(
        store=store,
        actions=actions,
        surroundings=PlainSurroundings(world.folder, {}),
        clock=clock,
        load_skill=lambda name: stored,
        triggers=EventTriggers(store, {}),
    )
    engine = Engine(equipment)
    clock.idle = lambda: engine.is_idle
    runs = store.history(HistoryFilter(limit=1))
    run_id = runs[0].id if runs else await engine.create(stored, {})
    row = await engine.drive(run_id)
    assert row.status == "succeeded", row.error
    await engine.stop()
    store.close()


def survive(work: Callable[[World], None], world: World) -> int:
    """Run `work` in a process of its own, again whenever it is killed, until it returns. How often it died."""
    deaths = 0
    while True:
        child = os.fork()
        if child == 0:
            work(world)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise SystemExit("it failed by itself")
            return deaths
        deaths += 1


def figures(world: World, deaths: int) -> dict[str, int]:
    events = [json.loads(line) for line in world.log.read_text().splitlines()]
    mails = Counter(event["ticket"] for event in events if event["what"] == "send")
    drafts = [event for event in events if event["what"] == "draft"]
    return {
        "killed": deaths,
        "tickets": len(world.arrivals),
        "mails": sum(mails.values()),
        "duplicate mails": sum(mails.values()) - len(mails),
        "tickets lost": len(world.arrivals) - len(mails),
        "model calls": len(drafts),
        "tokens paid": sum(event["tokens"] for event in drafts),
        "tokens paid twice": sum(event["tokens"] for event in drafts) - TOKENS * len(world.arrivals),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=200)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    arrivals = sorted(dice.uniform(START, END - 3600) for _ in range(options.tickets))
    kills = set(dice.sample(range(options.tickets // 10, 2 * options.tickets), options.kills))
    told = {}
    for name, work in (("while True", naive), ("agentctl", durable)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), arrivals, kills)
            told[name] = figures(world, survive(work, world))
    print(f"{'':20}{'while True':>12}{'agentctl':>12}")
    for figure in told["agentctl"]:
        print(f"{figure:20}{told['while True'][figure]:>12,}{told['agentctl'][figure]:>12,}")


if __name__ == "__main__":
    main()
