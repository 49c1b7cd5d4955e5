"""What must hold afterwards, read from the store and from what the runs left outside. Each check adds sentences."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import workshop
from callers import Ledger

# Started by an event of this name, in every case.
_ALWAYS = {
    "soak.plain": ["on-plain"],
    "soak.effect": ["on-effect"],
    "soak.keyed": ["on-keyed"],
    "soak.throttled": ["on-throttled"],
    "soak.asked": ["on-asked"],
    **{f"agentctl.webhook.{path}": [f"hook-{path}"] for path in workshop.HOOKED},
}

# Started by it once or not at all.
_PERHAPS = {"soak.limited": ["on-limited"], "soak.deduped": ["on-deduped"], "soak.churn": workshop.CHURNED}

_LEASE_TO_START = 1.0  # seconds, on a busy machine

# Gathered for it.
_GATHERED = {"soak.batched": "on-batched", "soak.debounced": "on-debounced"}


@dataclass
class Run:
    id: str
    name: str
    status: str
    trigger: str
    created: float
    started: float | None
    finished: float | None
    event: Any
    output: Any
    error: Any
    slot: float | None
    head: int
    journal: int
    recoveries: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """What started it: one event, or those of its batch."""
        if not self.event:
            return []
        data = self.event["data"]
        return data["events"] if self.name == "on-batched" else [self.event]


class Judge:
    def __init__(self, root: Path, ledger: Ledger) -> None:
        self._root = root
        self._ledger = ledger
        self.problems: list[str] = list(ledger.problems)
        self._connection = sqlite3.connect(f"file:{root}/.agentctl/agentctl.db?mode=ro", uri=True)
        self.runs = list(self._read_runs())
        self.events: dict[str, tuple[int, str, Any, float]] = {
            id_: (seq, name, json.loads(data) if data else None, at)
            for seq, id_, name, data, at in self._connection.execute("SELECT seq, id, name, data, received_at FROM events")
        }
        self._of_event: dict[str, list[Run]] = defaultdict(list)
        self._of_name: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs:
            self._of_name[run.name].append(run)
            for event in run.events:
                self._of_event[event["id"]].append(run)

    def _read_runs(self) -> Iterator[Run]:
        """The times are those of the journals, which are the runs; the rows are only drawn from them."""
        told: dict[int, dict[str, float]] = defaultdict(dict)
        recovered: Counter[int] = Counter()
        created: dict[int, Any] = {}
        for key, line in self._connection.execute(
            "SELECT run, event FROM journal"
            " WHERE seq = 1 OR json_extract(event, '$.type') IN ('RunStarted', 'RunRecovered', 'RunFinished')"
        ):
            event = json.loads(line)
            if event["type"] == "RunCreated":
                created[key] = event
            elif event["type"] == "RunRecovered":
                recovered[key] += 1
            else:
                told[key].setdefault(event["type"], event["at"])
        lengths = dict(self._connection.execute("SELECT run, count(*) FROM journal GROUP BY run"))
        rows = self._connection.execute("SELECT key, id, name, status, trigger, created_at, event, output, error, head FROM runs")
        for key, id_, name, status, trigger, at, event, output, error, head in rows:
            yield Run(
                id_, name, status, trigger, at, told[key].get("RunStarted"), told[key].get("RunFinished"),
                *(json.loads(text) if text else None for text in (event, output, error)),
                created[key].get("scheduled_at"), head, lengths[key], recovered[key],
            )  # fmt: skip

    def say(self, problem: str) -> None:
        self.problems.append(problem)

    def judge(self) -> list[str]:
        self._nothing_is_stuck()
        self._events_have_their_runs()
        self._answers_tell_the_truth()
        self._gathered_events()
        self._waits()
        self._files()
        self._by_hand()
        self._slots()
        self._places()
        self._windows()
        self._effects()
        return self.problems

    # --- runs and events ---

    def _nothing_is_stuck(self) -> None:
        for run in self.runs:
            if run.status not in ("succeeded", "failed", "cancelled"):
                self.say(f"run {run.id} of {run.name} is {run.status}")
            if run.status == "failed" and not _may_fail(run):
                self.say(f"run {run.id} of {run.name} failed: {run.error}")
            if run.status == "cancelled" and run.name not in ("tick-overlap-cancel", "tick-cancel"):
                self.say(f"run {run.id} of {run.name} was cancelled")
            if run.head != run.journal:
                self.say(f"run {run.id} of {run.name}: {run.journal} events in its journal, {run.head} in its row")
        for table in ("mail", "piles", "piled", "waits", "awaiters"):
            left = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            if left:
                self.say(f"{left} rows are left in {table}")
        held = self._connection.execute("SELECT count(*) FROM runs WHERE owner IS NOT NULL").fetchone()[0]
        if held:
            self.say(f"{held} runs are still leased")
        check = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        if check != "ok":
            self.say(f"the database: {check}")

    def _events_have_their_runs(self) -> None:
        perhaps = {sent.id for sent in self._ledger.sent if sent.acknowledged or sent.unanswered}
        for sent in self._ledger.sent:
            if sent.acknowledged and sent.id not in self.events:
                self.say(f"event {sent.id} was acknowledged and is not kept")
            if sent.refused and sent.id not in perhaps and sent.id in self.events:
                self.say(f"event {sent.id} was refused and is kept")
        for id_, (_, name, data, _) in self.events.items():
            if name.startswith("agentctl.file."):
                continue
            made = Counter(run.name for run in self._of_event[id_])
            due = Counter(_ALWAYS.get(name, ()))
            if name.startswith("soak.") and data["n"] % 10 == 0:
                due["on-tenth"] += 1
            for loop in _PERHAPS.get(name, ()):
                due[loop] = min(made[loop], 1)
            if name in _GATHERED:
                due[_GATHERED[name]] = made[_GATHERED[name]]
            if made != +due:
                self.say(f"event {id_} started {dict(made)}, not {dict(+due)}")

    def _answers_tell_the_truth(self) -> None:
        """Every run that a sender was told of exists; who started a limited run was told so."""
        known = {run.id: run for run in self.runs}
        for sent in self._ledger.sent:
            for run_id in sent.started:
                if run_id not in known:
                    self.say(f"the sender of event {sent.id} was told of run {run_id}, which is not there")
            if sent.acknowledged and not sent.duplicate and sent.name not in _GATHERED:
                made = sorted(run.id for run in self._of_event[sent.id])
                if made != sorted(sent.started):
                    self.say(f"the sender of event {sent.id} was told of {sent.started}; its runs are {made}")

    def _gathered_events(self) -> None:
        for run in self._of_name["on-batched"]:
            keys = {event["data"]["key"] for event in run.events}
            if len(run.events) > 10 or len(keys) != 1:
                self.say(f"run {run.id} has a batch of {len(run.events)} events with the keys {keys}")
        by_key: dict[str, list[tuple[int, str, float]]] = defaultdict(list)
        for id_, (seq, name, data, at) in self.events.items():
            if name == "soak.batched" and len(self._of_event[id_]) - (data["n"] % 10 == 0) != 1:
                self.say(f"event {id_} is in {len(self._of_event[id_])} batches")
            if name == "soak.debounced":
                by_key[data["key"]].append((seq, id_, at))
        for key, events in by_key.items():
            events.sort()
            for (_, id_, at), (_, _, after) in zip(events, [*events[1:], (0, "", float("inf"))], strict=True):
                made = sum(run.name == "on-debounced" for run in self._of_event[id_])
                if after == float("inf") and made != 1:
                    self.say(f"the last event of {key}, {id_}, was debounced into {made} runs")
                elif made > 1 or (made and after - at < 0.6):
                    self.say(f"event {id_} was debounced into {made} runs, {after - at:.3f} s before the next of {key}")

    def _waits(self) -> None:
        answers = {data["n"]: id_ for id_, (_, name, data, _) in self.events.items() if name == "soak.answer"}
        for run in self._of_name["on-asked"]:
            n = run.events[0]["data"]["n"]
            if run.output != {"answered": answers.get(n)}:
                self.say(f"run {run.id} waited for {answers.get(n)} and has {run.output}")

    def _by_hand(self) -> None:
        made = sorted(run.id for run in self._of_name["by-hand"])
        if missing := set(self._ledger.by_hand) - set(made):
            self.say(f"runs that were started by hand are not there: {_some(missing)}")

    def _files(self) -> None:
        put = Counter(self._ledger.files.items())
        found = [event["data"] for run in self._of_name["on-file"] for event in run.events]
        made = Counter((data["path"], data["sha256"]) for data in found)
        if made != put:
            self.say(f"{len(put - made)} of {len(put)} files started no run, and {(made - put).total()} runs are too many")

    # --- slots and limits ---

    def _slots(self) -> None:
        rows = defaultdict(list)
        for name, slot, outcome, run in self._connection.execute(
            "SELECT d.name, s.slot_ms, s.outcome, s.run FROM slots s JOIN schedules d ON d.id = s.schedule"
            " ORDER BY d.name, s.slot_ms"
        ):
            rows[name].append((slot, outcome, run))
        for name in workshop.TICKING:
            self._slots_of(name, rows[name])

    def _slots_of(self, name: str, rows: Sequence[tuple[int, str, str | None]]) -> None:
        times = [slot for slot, _, _ in rows]
        if len(times) < 3:
            self.say(f"{name} has {len(times)} slots")
        gaps = [(one, other) for one, other in pairwise(times) if other - one != round(workshop.TICK * 1000)]
        if gaps:
            self.say(f"{name}: {len(gaps)} gaps in its slots, the first {gaps[0]}")
        fired = {run: slot for slot, outcome, run in rows if outcome == "fired"}
        if len(fired) != sum(outcome == "fired" for _, outcome, _ in rows):
            self.say(f"{name}: two slots started one run")
        ran = {run.id: round((run.slot or 0) * 1000) for run in self._of_name[name]}
        if fired != ran:
            self.say(f"{name}: slots that fired and runs differ: {_some(set(fired.items()) ^ set(ran.items()))}")

    def _places(self) -> None:
        """A run counts from its start to its end."""
        for name, (limit, key) in workshop.PLACES.items():
            groups = defaultdict(list)
            for run in self._of_name[name]:
                groups[_instant(run.slot)[:key] if key else ""].append(run)
            for group, runs in groups.items():
                self._beside(f"{name} {group}", runs, limit)
        keyed = defaultdict(list)
        for run in self._of_name["on-keyed"]:
            keyed[run.events[0]["data"]["key"]].append(run)
        for key, runs in keyed.items():
            self._beside(f"on-keyed {key}", runs, 2)

    def _beside(self, what: str, runs: Iterable[Run], limit: int) -> None:
        turns = []
        for run in runs:
            if run.started is not None:
                turns += [(run.started, 1, run.id), (run.finished or float("inf"), 0, run.id)]
        inside: list[str] = []
        for _, begins, run_id in sorted(turns):
            if begins:
                inside.append(run_id)
                if len(inside) > limit:
                    self.say(f"{what}: {len(inside)} runs at once, the limit is {limit}: {inside}")
                    return
            else:
                inside.remove(run_id)

    def _windows(self) -> None:
        """A start counts from the commit that leases the run; the journal says when the run went on from there."""
        for name, limit, per in (("on-throttled", 36, 3.0), ("tick-throttle", 5, 4.0)):
            self._within(name, [run.started for run in self._of_name[name]], limit, per - _LEASE_TO_START)
        self._within("tick-rate", [run.created for run in self._of_name["tick-rate"]], 2, 3.0)
        for name, limit, per in (("on-limited", 3, 2.0), ("on-deduped", 1, 4.0)):
            by_key = defaultdict(list)
            for run in self._of_name[name]:
                by_key[run.events[0]["data"]["key"]].append(run.created)
            for key, times in by_key.items():
                self._within(f"{name} {key}", times, limit, per)
        deduped = Counter(_instant(run.slot)[:18] for run in self._of_name["tick-dedupe"])
        for key, count in deduped.items():
            if count > 1:
                self.say(f"tick-dedupe: {count} runs with the key {key}")

    def _within(self, what: str, found: Iterable[float | None], limit: int, per: float) -> None:
        times = sorted(at for at in found if at is not None)
        over = [(at, later) for at, later in zip(times, times[limit:], strict=False) if later - at < per]
        if over:
            at, later = min(over, key=lambda pair: pair[1] - pair[0])
            worst = f"{limit + 1} within {later - at:.3f} s at {at:.3f}"
            self.say(f"{what}: {len(over)} times over {limit} in {per:g} s, the worst {worst}")

    # --- effects ---

    def _effects(self) -> None:
        for name in ("tick-effect", "tick-probe", "tick-once", "on-effect", "by-hand"):
            path = self._root / f"effects/{name}.log"
            left = Counter(path.read_text().split("\n")[:-1] if path.exists() else ())
            runs = {run.id: run for run in self._of_name[name]}
            if strange := set(left) - set(runs):
                self.say(f"{name}: effects of runs that are not there: {_some(strange)}")
            for run_id, run in runs.items():
                most = 1 if name != "tick-effect" else 1 + run.recoveries
                least = 1 if run.status == "succeeded" else 0
                if not least <= left[run_id] <= most:
                    told = f"{run.status}, {run.recoveries} recoveries"
                    self.say(f"{name}: run {run_id} ({told}) left its effect {left[run_id]} times")


def _may_fail(run: Run) -> bool:
    return run.name in ("tick-once", "by-hand") and run.error["type"] == "step.unknown_outcome"


def _instant(at: float | None) -> str:
    from agentctl.core.timestamps import rfc3339

    return rfc3339(at or 0.0)


def _some(found: Iterable[Any]) -> list[Any]:
    return sorted(found)[:4]
