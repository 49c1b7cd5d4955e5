"""Debounce and batch beside a model that keeps every event and looks at all of them each time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from agentctl.core import batching
from agentctl.core.batching import add, take

Moves = list[tuple[str, float]]  # ("event", seconds since the move before) or ("release", the same)
moves = st.lists(st.tuples(st.sampled_from(["event", "event", "event", "release"]), st.floats(0, 20)), max_size=40)


@dataclass
class Debounce:
    """The newest event becomes a run once no other has come for `quiet` seconds."""

    quiet: float
    waiting: list[float] = field(default_factory=list)

    def put(self, at: float) -> None:
        self.waiting.append(at)

    def due(self) -> float | None:
        return self.waiting[-1] + self.quiet if self.waiting else None

    def release(self) -> list[float]:
        newest = self.waiting[-1:]
        self.waiting.clear()
        return newest


@dataclass
class Batch:
    """Events become a run when there are `size`, or when the oldest has waited for `patience` seconds."""

    patience: float
    size: int
    waiting: list[float] = field(default_factory=list)

    def put(self, at: float) -> None:
        self.waiting.append(at)

    def due(self) -> float | None:
        if not self.waiting:
            return None
        full = len(self.waiting) >= self.size
        return self.waiting[0] if full else self.waiting[0] + self.patience

    def release(self) -> list[float]:
        gone, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        return gone


@dataclass
class Shelf:
    """What a store does with a pile: it keeps the events, and asks the functions for all else."""

    seconds: float
    size: int | None
    pile: batching.Batch | None = None
    events: list[float] = field(default_factory=list)

    def put(self, at: float) -> None:
        self.pile = add(self.pile, at, self.seconds, self.size)
        if self.size is None:
            self.events.clear()
        self.events.append(at)

    def due(self) -> float | None:
        return None if self.pile is None else self.pile.due

    def release(self) -> list[float]:
        assert self.pile is not None
        gone, self.events = self.events[: self.pile.ripe], self.events[self.pile.ripe :]
        self.pile = take(self.pile, len(gone), self.events[0] if self.events else None)
        return gone


def play(shelf: Shelf, model: Debounce | Batch, moves: Moves) -> None:
    now = 1000.0
    for what, pause in moves:
        now += pause
        if what == "event":
            shelf.put(now)
            model.put(now)
        elif (due := model.due()) is not None and due <= now:
            assert shelf.release() == model.release()
        assert shelf.due() == model.due()
        assert (shelf.pile is None) == (not model.waiting)


@given(moves, st.floats(0, 10))
def test_a_debounce_is_as_its_model(moves: Moves, quiet: float) -> None:
    play(Shelf(quiet, None), Debounce(quiet), moves)


@given(moves, st.floats(0, 30), st.integers(1, 5))
def test_a_batch_is_as_its_model(moves: Moves, patience: float, size: int) -> None:
    play(Shelf(patience, size), Batch(patience, size), moves)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.integers(1, 30))
def test_of_a_batch_no_event_is_lost_and_none_is_given_twice_whatever_the_clock_does(times: list[float], size: int) -> None:
    shelf = Shelf(5.0, size)
    for at in times:
        shelf.put(at)
    given_out = []
    while shelf.pile is not None:
        given_out += shelf.release()
    assert given_out == times


def test_a_batch_that_becomes_a_debounce_keeps_the_newest() -> None:
    pile = add(add(None, 1.0, 60, 5), 2.0, 60, 5)
    assert add(pile, 3.0, 10, None) == batching.Batch(3.0, 3.0, 1, 10, None)
