"""When a run makes no progress."""

from __future__ import annotations

import pytest

from agentctl.core.stall import PATIENCE, WITHOUT_TIMEOUT, Vitals, deadlocked, stalled_since

NOW = 100_000.0
LATE = PATIENCE + 1.0


def since(
    *, called: float | None = None, silent: float = 0.0, timeouts: tuple[float | None, ...] = ()
) -> float | None:
    """How many seconds it has stalled; None: it does not. Arguments: seconds ago."""
    called_at = None if called is None else NOW - called
    found = stalled_since(Vitals(called_at=called_at, spoke_at=NOW - silent, timeouts=timeouts), NOW)
    return None if found is None else NOW - found


def test_a_run_that_waits_for_what_has_not_come_does_not_stall_however_long() -> None:
    assert since(silent=10_000_000.0) is None


def test_a_run_that_nobody_takes_up_stalls_from_when_it_could_have_gone_on() -> None:
    assert since(called=PATIENCE - 1.0, silent=9000.0) is None
    assert since(called=LATE, silent=9000.0) == LATE


@pytest.mark.parametrize(
    ("timeouts", "silence"),
    [((30.0,), 30.0), ((30.0, 7200.0), 7200.0), ((None,), WITHOUT_TIMEOUT), ((30.0, None), WITHOUT_TIMEOUT), ((9e4, None), 9e4)],
)
def test_a_run_at_work_stalls_when_it_is_silent_for_longer_than_any_attempt_may_take(
    timeouts: tuple[float | None, ...], silence: float
) -> None:
    assert since(silent=silence + PATIENCE - 1.0, timeouts=timeouts) is None
    assert since(silent=silence + LATE, timeouts=timeouts) == silence + LATE


def test_mail_that_nobody_reads_stalls_a_run_at_work_too() -> None:
    assert since(called=LATE, silent=5.0, timeouts=(None,)) == LATE


def knot(**waits: str) -> set[str]:
    """`a="b c|d"`: a waits for b or c to end, and for d."""
    return deadlocked({run: [frozenset(any_of.split()) for any_of in text.split("|")] for run, text in waits.items()})


def test_runs_that_wait_for_each_other_hold_themselves_fast_and_whoever_waits_for_them() -> None:
    assert knot(a="b", b="c", c="a", before="a", free="worker", behind="free") == {"a", "b", "c", "before"}
    assert knot(alone="alone") == {"alone"}


def test_a_place_is_free_when_any_of_those_that_hold_it_ends() -> None:
    assert knot(a="b", b="a worker") == set()
    assert knot(a="b", b="a c", c="a") == {"a", "b", "c"}


def test_a_run_is_held_fast_by_one_of_the_things_it_waits_for() -> None:
    assert knot(a="worker|b", b="a") == {"a", "b"}
