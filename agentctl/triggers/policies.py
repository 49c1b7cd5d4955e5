"""What becomes of a slot: whether it starts a run, and if not, why. Pure: rows in, decisions out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal

import msgspec
from msgspec import structs

from agentctl.core.timestamps import rfc3339
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
    resumed_at = max((end for _, end in pauses), default=-math.inf)
    is_on_time = False

    def stage(slot: float) -> Literal["paused", "passed", "on time"]:
        nonlocal is_on_time  # once one is, those behind it are, whatever their jitter
        is_on_time = is_on_time or start(schedule, slot) >= serving_since
        return "paused" if slot < resumed_at else "on time" if is_on_time else "passed"

    for found, some in groupby(slots, stage):
        if found == "paused":
            yield from (_paused(schedule, slot, serving_since, pauses) for slot in some)
        elif found == "passed":
            yield from catch_up(some, schedule.catch_up, schedule.limit)
        else:
            yield from (Verdict(slot, "fired") for slot in some)


def _paused(schedule: Schedule, slot: float, serving_since: float, pauses: Sequence[tuple[float, float]]) -> Verdict:
    """Of a slot before the end of the last pause."""
    if any(begin <= slot < end for begin, end in pauses):
        return Verdict(slot, "skipped", "the loop was paused")
    if start(schedule, slot) >= serving_since:
        return Verdict(slot, "skipped", "the loop was paused before it could start")
    return Verdict(slot, "missed", f"{_AWAY}, and the loop was paused before it could be made up for")


def summed_up(schedule: Schedule, after: float, slot: float, pauses: Sequence[tuple[float, float]]) -> Verdict:
    """One verdict for all slots in (after, slot], at which no `serve` ran: they are too many to be recorded one by one."""
    unforgiving = structs.replace(schedule, catch_up="none")
    [verdict] = settle(unforgiving, [slot], math.inf, pauses)
    also = f"; so it is with all slots before it since {rfc3339(after)}, which are too many to be recorded one by one"
    return structs.replace(verdict, reason=verdict.reason + also)


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
