"""Flow control: when a run may start, beside the others of its definition (docs/language.md). Pure: rows in,
decisions out.

A start is described by its `Limits`: the definition's keys, evaluated for it. What counts together has the same `group`, a text
that holds the definition's name, the kind of limit and the value of its key.

A run meets its limits twice. As it arrives, `arrival` says whether there is to be a run at all (`dedupe`, `rate_limit`, and the
`on_limit` of its places). Then it waits in the queue of each of its groups, and `startable` says which of them may start.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from heapq import merge
from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.expressions.duration import format_duration


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


# --- groups --------------------------------------------------------------------------------------------------------

_LONGEST_KEY = 200  # characters that are kept as they are


def group(name: str, kind: str, *key: JSON) -> str:
    """The group of a limit of `kind` (concurrency, overlap, throttle ...) of definition `name`, with the value of its key if it
    has one: any JSON."""
    if not key:
        return f"{name} {kind}"
    text = json.dumps(key[0], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) > _LONGEST_KEY:
        text = f"{text[:_LONGEST_KEY]}… {sha256(text.encode(errors='surrogatepass')).hexdigest()}"
    return f"{name} {kind} {text}"


def is_overlap(group: str) -> bool:
    """Whether it is that of the runs of a schedule."""
    return group.split(" ", 2)[1] == "overlap"


def in_words(group: str, limit: int, per: float | None = None) -> str:
    """A limit for people: `concurrency 1 of triage`, `throttle 10 in 1m of triage for "web"`."""
    name, kind, *key = group.split(" ", 2)
    span = "" if per is None else f" in {format_duration(per)}"
    return f"{kind} {limit}{span} of {name}" + (f" for {key[0]}" if key else "")


# --- arrival -------------------------------------------------------------------------------------------------------


class LimitState(msgspec.Struct, frozen=True):
    """What a start finds of its groups as it arrives.

    `first`: the run that counts as the first one with its `dedupe` key.  `rate_ends`: until when each start of its `rate_limit`
    counts.  `members`: of the group of each place the runs that have a place or wait in the queue for one, in the order in which
    they arrived, except those that were asked to end.
    """

    first: str | None = None
    rate_ends: Sequence[float] = ()
    members: Mapping[str, Sequence[str]] = {}


class AdmissionDecision(msgspec.Struct, frozen=True):
    """`create`: a run is made; then those in `cancel` are to end. Else `outcome` says why not, and `run_id` names the first run
    of a duplicate. `reason`: a sentence for people."""

    outcome: Literal["create", "duplicate", "skipped", "overlapped"]
    reason: str = ""
    run_id: str | None = None
    cancel: tuple[str, ...] = ()


def arrival(limits: Limits, met: LimitState, now: float) -> AdmissionDecision:
    """What becomes of a start."""
    if limits.dedupe is not None and met.first is not None:
        return AdmissionDecision("duplicate", f"run {met.first} was started with the same key of dedupe", met.first)
    for place in limits.places:
        members = met.members.get(place.group, ())
        if place.on_limit == "skip" and len(members) >= place.limit:
            return _skipped(place, members)
    rate = limits.rate_limit
    if rate is not None and not has_room(met.rate_ends, rate.limit, now):
        return AdmissionDecision("skipped", f"{in_words(rate.group, rate.limit, rate.per)} lets no more start")
    ending = {
        run_id: None
        for place in limits.places
        if place.on_limit == "cancel_running"
        for run_id in superseded(met.members.get(place.group, ()), place.limit)
    }
    return AdmissionDecision("create", cancel=tuple(ending))


def _skipped(place: Place, members: Sequence[str]) -> AdmissionDecision:
    if place.overlap:
        return AdmissionDecision("overlapped", f"run {members[0]} was still going, and overlap: skip starts no other")
    limit = in_words(place.group, place.limit)
    return AdmissionDecision("skipped", f"{limit} is taken by {named(members)}, and on_limit: skip starts no other")


def superseded(members: Sequence[str], limit: int) -> Sequence[str]:
    """Of those that arrived before a run, in their order, the ones that must end for it: the newest stay, as far as there is
    room beside it."""
    return members[: max(0, len(members) + 1 - limit)]


def named(run_ids: Sequence[str]) -> str:
    """`run a`, `runs a and b`, `runs a, b and 3 more`."""
    first, *others = run_ids
    if not others:
        return f"run {first}"
    if len(others) == 1:
        return f"runs {first} and {others[0]}"
    return f"runs {first}, {others[0]} and {len(others) - 1} more"


# --- places --------------------------------------------------------------------------------------------------------


def keeps_place(status: str, attended: bool) -> bool:
    """Whether a run that has a place keeps it. `attended`: somebody alive drives it or will.

    Waits are part of a run, whichever process continues it. A run that was interrupted, with no process to continue it, keeps no
    other run waiting.
    """
    return attended or status in ("waiting", "blocked")


# --- windows -------------------------------------------------------------------------------------------------------


def has_room(ends: Iterable[float], limit: int, now: float) -> bool:
    """Whether one more may start. `ends`: until when each start before it counts: for one span from its time on, so that no
    span holds more than `limit`."""
    return sum(end > now for end in ends) < limit


def opening(ends: Iterable[float], limit: int) -> float | None:
    """When the next may start, as far as those that have started say; None: at any time."""
    latest = sorted(ends, reverse=True)
    return latest[limit - 1] if len(latest) >= limit else None


# --- the line ------------------------------------------------------------------------------------------------------


class Need(msgspec.Struct, frozen=True):
    """Room that a run needs before it starts: fewer than `limit` others in `group`."""

    group: str
    limit: int


class InLine(msgspec.Struct, frozen=True):
    """A run that stands in the lines of the groups in `needs`. `rank`: minus its priority.  `arrival`: rises with every run."""

    rank: float
    arrival: int
    needs: tuple[Need, ...] = ()

    @property
    def order(self) -> tuple[float, int]:
        return self.rank, self.arrival


def startable(lines: Mapping[str, Iterable[InLine]], used: Mapping[str, int]) -> Iterator[InLine]:
    """Who may start now, in order. `lines`: of each group those in line for it, in order; they are read no further than needed.
    `used`: how many count in a group already.

    By priority, then arrival, each takes room in all its groups, if there is any. In the line of a group nobody passes one who
    waits for that very group; one that waits for another group, or for nobody to start it, keeps nobody back.
    """
    full: set[str] = set()
    taken: Counter[str] = Counter()

    def open_line(group: str) -> Iterator[InLine]:
        for run in lines[group]:
            yield run
            if group in full:
                return

    last = None
    for run in merge(*map(open_line, lines), key=lambda run: run.order):
        if run.arrival == last:  # it stands in several lines
            continue
        last = run.arrival
        full.update(need.group for need in run.needs if used[need.group] + taken[need.group] >= need.limit)
        if full.isdisjoint(need.group for need in run.needs):
            taken.update(need.group for need in run.needs)
            yield run
