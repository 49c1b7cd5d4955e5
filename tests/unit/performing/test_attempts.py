"""Attempts: when their time begins, and what answers them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentctl.core.commands import Execute
from agentctl.core.events import AnyEvent, AttemptFailed, StepSucceeded
from agentctl.engine.clock import SystemClock
from agentctl.performing.attempts import Attempts
from agentctl.ports import Call, Outcome, Surroundings
from agentctl.testing.fixtures import PlainSurroundings

TIMEOUT = 0.02


class GetsReadySlowly:
    """Takes longer to get ready than an attempt may take. `seconds`: what the attempt itself takes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.heard: list[str] = []

    def expect(self) -> None:
        self.heard.append("expect")

    async def ready(self, call: Call) -> None:
        await asyncio.sleep(5 * TIMEOUT)
        self.heard.append("ready")

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        self.heard.append("perform")
        await asyncio.sleep(self.seconds)
        return Outcome("done")


@pytest.fixture
def attempt(tmp_path: Path):
    """Perform one attempt with a time limit; returns its answer."""

    async def perform(action: GetsReadySlowly) -> AnyEvent:
        answers: asyncio.Queue[AnyEvent] = asyncio.Queue()
        attempts = Attempts({"slow": action}, PlainSurroundings(tmp_path, {}), SystemClock(), workers=1)
        attempts.start("run", "loop", Execute("a", 1, "slow", {}, [], TIMEOUT, "key", None), answers.put_nowait)
        return await answers.get()

    return lambda action: asyncio.run(perform(action))


def test_the_timeout_of_an_attempt_begins_when_its_action_is_ready(attempt):
    action = GetsReadySlowly(seconds=0)
    answer = attempt(action)
    assert isinstance(answer, StepSucceeded)
    assert action.heard == ["ready", "perform"]


def test_an_attempt_that_takes_too_long_after_that_times_out(attempt):
    answer = attempt(GetsReadySlowly(seconds=60))
    assert isinstance(answer, AttemptFailed)
    assert answer.error.type == "timeout"
