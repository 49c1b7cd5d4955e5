"""A case played again and again, each time with a crash at another place: the outcome must always be the same."""

from __future__ import annotations

from typing import get_args

import msgspec

from agentctl import JSON
from agentctl.testing.compare import difference, same
from agentctl.testing.mocks import Broken
from agentctl.testing.runner import Played, Ready, play
from agentctl.testing.simulator import Moment

MOST_TOLD = 3  # differences of one case


class Crashed(msgspec.Struct, frozen=True):
    """A crash that changed something. `place`: where it struck, in words."""

    place: str
    message: str


def crash_everywhere(ready: Ready, played: Played) -> tuple[int, list[Crashed]]:
    """How many crashes were tried, and those that made a difference to `played`, the run without one (the first few)."""
    found: list[Crashed] = []
    tried = 0
    for number, event in enumerate(played.commits, 1):
        for moment in get_args(Moment):
            tried += 1
            place = f"{moment} event {number} ({event})"
            message = _try(ready, played, (number, moment))
            if message is not None:
                found.append(Crashed(place, message))
                if len(found) == MOST_TOLD:
                    return tried, found
    return tried, found


def _try(ready: Ready, played: Played, crash: tuple[int, Moment]) -> str | None:
    try:
        again = play(ready, crash)
    except Broken as error:
        return str(error)
    if again.broken_promises:
        return again.broken_promises[0]
    if not again.is_comparable:
        return None
    expected, got = _outcome(played), _outcome(again)
    return None if same(expected, got) else difference(expected, got)


def _outcome(played: Played) -> JSON:
    """All that a crash must not change. (Attempts it may: an attempt whose end was lost starts again.)"""
    steps = {
        path: {"status": step.status, "output": step.output, "error": step.error and step.error["type"]}
        for path, step in played.steps.items()
    }
    error = played.error and {key: played.error[key] for key in ("type", "message", "step", "data")}
    return {"status": played.status, "output": played.output, "error": error, "elapsed": played.elapsed, "steps": steps}
