"""Who of those in line may start: against a model that goes through everybody, one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from agentctl.core.flow import InLine, Need, has_room, opening, startable

GROUPS = ("a", "b", "c")


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[InLine], dict[str, int]]:
    """Runs in line for up to three groups, and how many count there already."""
    runs = []
    for arrival in range(draw(st.integers(0, 12))):
        groups = draw(st.sets(st.sampled_from(GROUPS), min_size=1))
        needs = tuple(Need(group, draw(st.integers(1, 4))) for group in sorted(groups))
        runs.append(InLine(float(draw(st.integers(-2, 2))), arrival, needs))
    return runs, {group: draw(st.integers(0, 4)) for group in GROUPS}


def by_group(runs: list[InLine]) -> dict[str, list[InLine]]:
    order = sorted(runs, key=lambda run: (run.rank, run.arrival))
    return {group: [run for run in order if any(need.group == group for need in run.needs)] for group in GROUPS}


def model(runs: list[InLine], used: dict[str, int]) -> list[int]:
    """The rule, said once more: first come first served, and nobody passes one who waits for the same group."""
    count, closed, started = Counter(used), set(), []
    for run in sorted(runs, key=lambda run: (run.rank, run.arrival)):
        for need in run.needs:
            if count[need.group] >= need.limit:
                closed.add(need.group)
        if not any(need.group in closed for need in run.needs):
            for need in run.needs:
                count[need.group] += 1
            started.append(run.arrival)
    return started


def started(runs: list[InLine], used: dict[str, int]) -> list[int]:
    return [run.arrival for run in startable(by_group(runs), used)]


@given(lines())
def test_those_start_that_the_model_starts(case: tuple[list[InLine], dict[str, int]]) -> None:
    assert started(*case) == model(*case)


@given(lines())
def test_no_limit_is_ever_exceeded_by_those_that_start(case: tuple[list[InLine], dict[str, int]]) -> None:
    runs, used = case
    count = Counter(used)
    for run in startable(by_group(runs), used):
        for need in run.needs:
            count[need.group] += 1
            assert count[need.group] <= need.limit


@given(lines())
def test_somebody_starts_unless_everybody_waits_for_a_place_that_is_taken(case: tuple[list[InLine], dict[str, int]]) -> None:
    """No head blocks its queue: what keeps a run back is a group that is full, or one ahead who waits for that same group."""
    runs, used = case
    free = [run for run in runs if all(used[need.group] < need.limit for need in run.needs)]
    of_full_groups = {need.group for run in runs for need in run.needs if used[need.group] >= need.limit}
    if any(of_full_groups.isdisjoint(need.group for need in run.needs) for run in free):
        assert started(runs, used)


def test_higher_priority_starts_first_then_who_came_first() -> None:
    runs = [InLine(0.0, 1, (Need("a", 3),)), InLine(-5.0, 2, (Need("a", 3),)), InLine(0.0, 3, (Need("a", 3),))]
    assert started(runs, {"a": 0, "b": 0, "c": 0}) == [2, 1, 3]


def test_a_head_that_waits_for_another_group_does_not_block_those_behind_it() -> None:
    runs = [InLine(0.0, 1, (Need("a", 1), Need("b", 1))), InLine(0.0, 2, (Need("a", 1),))]
    assert started(runs, {"a": 0, "b": 1, "c": 0}) == [2]


def test_of_a_full_line_no_more_is_read_than_its_head() -> None:
    read = []

    def line() -> Iterator[InLine]:
        for arrival in range(10_000):
            read.append(arrival)
            yield InLine(0.0, arrival, (Need("a", 2),))

    assert [run.arrival for run in startable({"a": line()}, {"a": 1})] == [0]
    assert len(read) <= 3


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 5), st.integers(1, 20))
def test_started_as_soon_as_the_window_opens_no_span_holds_more_than_its_limit(wishes: list[int], limit: int, per: int) -> None:
    """A throttle with starts that are wished for at any times; each starts when it may, in order."""
    starts: list[float] = []
    now = 0.0
    for wish in sorted(wishes):
        now = max(now, float(wish))
        ends = [at + per for at in starts]
        opens = opening(ends, limit)
        if not has_room(ends, limit, now):
            assert opens is not None
            assert opens > now
            now = opens
        assert has_room([at + per for at in starts], limit, now)
        starts.append(now)
    for begin in starts:
        assert sum(begin <= at < begin + per for at in starts) <= limit


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 5), st.integers(0, 40))
def test_the_window_opens_at_the_first_time_at_which_there_is_room(ends: list[int], limit: int, now: int) -> None:
    opens = opening(ends, limit)
    first = next((at for at in range(now, 100) if has_room(ends, limit, at)), None)
    assert first == max(now, int(opens) if opens is not None else now)
