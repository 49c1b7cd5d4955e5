"""What becomes of a slot: whether it starts a run, and if not, why. Pure: rows in, decisions out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

import msgspec

from agentctl.triggers.schedule import CatchUp, Schedule
from agentctl.triggers.slots import start


class Verdict(msgspec.Struct, frozen=True):
    """Of one slot. `fired`: it is to start a run, as far as the limits of its definition let it.  `reason`: a sentence; empty
    when it is on time."""

    slot: float
    outcome: Literal["fired", "missed", "skipped"]
    reason: str = ""


def settle(
    schedule: Schedule, slots: Iterable[float], serving_since: float, pauses: Sequence[tuple[float, float]] = ()
) -> Iterator[Verdict]:
    """A verdict for every due slot, in order. `slots`: as `due` gives them.  `pauses`: from when until when it was paused.

    `serving_since`: from when on somebody has been there to start them without a break: the time at which `serve` came up, or at
    which its host woke from a sleep. What should have started before was missed, and `catch_up` decides; the others fire.
    What was due before the end of a pause is made up for no more: who pauses a loop wants nothing of it from then on.
    Works through any number of slots in the memory of `limit`.
    """
    coming = iter(slots)
    resumed_at = max((end for _, end in pauses), default=-math.inf)
    waiting: list[float] = []  # the slot at which a loop below found that it had come to its end

    def before(ends: Callable[[float], bool]) -> Iterator[float]:
        for slot in chain(waiting[:], coming):
            waiting.clear()
            if ends(slot):
                waiting.append(slot)
                return
            yield slot

    for slot in before(lambda slot: slot >= resumed_at):
        yield _paused(schedule, slot, serving_since, pauses)
    passed = before(lambda slot: start(schedule, slot) >= serving_since)
    yield from catch_up(passed, schedule.catch_up, schedule.limit)
    yield from (Verdict(slot, "fired") for slot in (*waiting, *coming))


def _paused(schedule: Schedule, slot: float, serving_since: float, pauses: Sequence[tuple[float, float]]) -> Verdict:
    """Of a slot before the end of the last pause."""
    if any(begin <= slot < end for begin, end in pauses):
        return Verdict(slot, "skipped", "the loop was paused")
    if start(schedule, slot) >= serving_since:
        return Verdict(slot, "skipped", "the loop was paused before it could start")
    return Verdict(slot, "missed", f"{_AWAY}, and the loop was paused before it could be made up for")


_AWAY = "nobody served at its time"


def catch_up(slots: Iterable[float], policy: CatchUp, limit: int) -> Iterator[Verdict]:
    """A verdict for every slot that passed while nobody served, in order: the newest fire, as many as the policy makes up for."""
    made_up = {"none": 0, "latest": 1, "all": limit}[policy]
    kept: deque[float] = deque()
    for slot in slots:
        kept.append(slot)
        if len(kept) > made_up:
            yield Verdict(kept.popleft(), "missed", _missed(policy, limit))
    yield from (Verdict(slot, "fired", f"made up for by catch_up: {policy}") for slot in kept)


def _missed(policy: CatchUp, limit: int) -> str:
    if policy == "none":
        return f"{_AWAY}, and catch_up: none makes up for no slot"
    if policy == "latest":
        return f"{_AWAY}, and catch_up: latest makes up for the last slot only"
    return f"{_AWAY}, and catch_up: all makes up for the last {limit} slots only"
