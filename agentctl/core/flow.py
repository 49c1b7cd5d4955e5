"""Flow control: when a run may start, beside the others of its definition (LANGUAGE sections 6 and 7). Pure: rows in,
decisions out.

A start is described by its `Limits`: the definition's keys, evaluated for it. What counts together has the same `group`, a text
that holds the definition's name, the kind of limit and the value of its key.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `limit` runs of `group` from their start to their end: `concurrency`, and the `overlap` of a schedule (limit 1)."""

    group: str
    limit: int
    on_limit: Literal["queue", "skip", "cancel_running"] = "queue"
    overlap: bool = False


class Window(msgspec.Struct, frozen=True):
    """At most `limit` starts of `group` in any span of `per` seconds: `throttle`, `rate_limit`."""

    group: str
    limit: int
    per: float


class Once(msgspec.Struct, frozen=True):
    """One start of `group` in `seconds`: `dedupe`."""

    group: str
    seconds: float


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What flow control says of one start. `priority`: higher starts first."""

    priority: float = 0.0
    places: tuple[Place, ...] = ()
    throttle: Window | None = None
    rate_limit: Window | None = None
    dedupe: Once | None = None
