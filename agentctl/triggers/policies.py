"""What becomes of a slot: whether it starts a run, and if not, why. Pure: rows in, decisions out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from agentctl.triggers.schedule import CatchUp, Overlap, Schedule
from agentctl.triggers.slots import start


class Verdict(msgspec.Struct, frozen=True):
    """Of one slot. `fired`: it is to start a run, as far as the overlap policy lets it.  `reason`: a sentence; empty when it is
    on time."""

    slot: float
    outcome: Literal["fired", "missed"]
    reason: str = ""


class Admission(msgspec.Struct, frozen=True):
    """How a slot that fires meets the runs of its trigger that are still going.

    `start`: its run may start now.  `queue`: its run is made, and starts when those in `after` have ended.  `overlapped`: it
    makes no run.  `cancel`: the runs to be cancelled first.  `reason`: a sentence; empty when nothing was in the way.
    """

    outcome: Literal["start", "queue", "overlapped"]
    after: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    reason: str = ""


def settle(schedule: Schedule, slots: Iterable[float], serving_since: float) -> Iterator[Verdict]:
    """A verdict for every due slot, in order. `slots`: as `due` gives them.

    `serving_since`: from when on somebody has been there to start them without a break: the time at which `serve` came up, or at
    which its host woke from a sleep. What should have started before was missed, and `catch_up` decides; the others fire.
    Works through any number of slots in the memory of `limit`.
    """
    coming = iter(slots)
    on_time: list[float] = []

    def passed() -> Iterator[float]:
        for slot in coming:
            if start(schedule, slot) >= serving_since:
                on_time.append(slot)
                return
            yield slot

    yield from catch_up(passed(), schedule.catch_up, schedule.limit)
    yield from (Verdict(slot, "fired") for slot in (*on_time, *coming))


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
    away = "nobody served at its time"
    if policy == "none":
        return f"{away}, and catch_up: none makes up for no slot"
    if policy == "latest":
        return f"{away}, and catch_up: latest makes up for the last slot only"
    return f"{away}, and catch_up: all makes up for the last {limit} slots only"


def admit(policy: Overlap, going: Sequence[str]) -> Admission:
    """`going`: the ids of this trigger's runs that have not ended, queued ones too, oldest first."""
    if not going:
        return Admission("start")
    still = f"run {going[0]} was still going" if len(going) == 1 else f"{len(going)} runs were still going"
    if policy == "skip":
        return Admission("overlapped", reason=f"{still}, and overlap: skip starts no other")
    if policy == "cancel_running":
        return Admission("queue", tuple(going), tuple(going), f"{still}, and overlap: cancel_running cancels them first")
    return Admission("queue", tuple(going), reason=f"{still}, and overlap: queue waits for them")
