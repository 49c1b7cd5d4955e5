"""What each step of one list waits for, and that this makes no circle."""

from __future__ import annotations

from typing import Any

from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.yaml.reader import Source
from agentctl.language.yaml.tree import Path, Place

Refs = dict[int, dict[str, Place]]


def order(
    source: Source,
    path: Path,
    steps: list[Any],
    ids: list[str],
    index: dict[str, int],
    refs: Refs,
    needs: dict[Path, tuple[str, ...]],
) -> None:
    """Put the complete needs of every step of the list at `path` into `needs`; report unknown ones and circles.

    Written needs, or the step before where there are none; then those that references imply.
    """
    edges: list[list[int]] = []
    for number, step in enumerate(steps):
        written = _written(source, (*path, number), step, ids[number], index)
        first = written if written is not None else [number - 1] if number else []
        implied = sorted(index[name] for name in refs.get(number, {}))
        edges.append(list(dict.fromkeys([*first, *implied])))
        needs[(*path, number)] = tuple(ids[need] for need in edges[-1])
    for _ in range(len(steps)):
        circle = _circle(edges)
        if not circle:
            return
        _report(source, path, steps, ids, refs, edges, circle)


def _written(source: Source, path: Path, step: Any, own: str, index: dict[str, int]) -> list[int] | None:
    if not isinstance(step, dict) or not isinstance(step.get("needs"), list):
        return None
    found = []
    for number, name in enumerate(step["needs"]):
        place = source.at((*path, "needs", number))
        if name == own:
            source.report(place, "cycle", f"step '{own}' cannot wait for itself")
        elif isinstance(name, str) and name in index:
            found.append(index[name])
        elif isinstance(name, str):
            source.report(place, "unknown-step", f"there is no step '{name}' in this list of steps{did_you_mean(name, index)}")
    return found


def _circle(edges: list[list[int]]) -> list[int]:
    """Steps that wait for each other, each for the next and the last for the first; empty when there are none."""
    waiting = {number: set(needs) for number, needs in enumerate(edges) if needs}
    users: dict[int, list[int]] = {}
    for number, needs in waiting.items():
        for need in needs:
            users.setdefault(need, []).append(number)
    ready = [number for number in range(len(edges)) if number not in waiting]
    while ready:
        for user in users.get(done := ready.pop(), ()):
            waiting[user].discard(done)
            if not waiting[user]:
                del waiting[user]
                ready.append(user)
    if not waiting:
        return []
    walked: list[int] = [min(waiting)]
    while True:
        following = next(need for need in edges[walked[-1]] if need in waiting)
        if following in walked:
            return walked[walked.index(following) :]
        walked.append(following)


def _report(
    source: Source,
    path: Path,
    steps: list[Any],
    ids: list[str],
    refs: Refs,
    edges: list[list[int]],
    circle: list[int],
) -> None:
    """Report one circle, at the reference or need that closes it, and take that edge out."""
    pairs = list(zip(circle, [*circle[1:], circle[0]], strict=True))
    for user, need in sorted(pairs, key=lambda pair: pair[0] - pair[1]):  # what looks furthest ahead is most likely the mistake
        edges[user].remove(need)
        if need < user:
            break
        if place := refs.get(user, {}).get(ids[need]):
            chain = f"'{ids[need]}' waits for '{ids[user]}'"
            message = f"step '{ids[user]}' uses the result of '{ids[need]}', but {chain}, so it cannot have run yet"
            source.report(place, "cycle", message)
            return
        place = source.at((*path, user, "needs", steps[user]["needs"].index(ids[need])))
        names = " -> ".join(f"'{ids[number]}'" for number in [*circle, circle[0]])
        source.report(place, "cycle", f"these steps wait for each other: {names}")
        return
    user, need = pairs[0]
    source.report(source.at((*path, user)), "cycle", f"step '{ids[user]}' waits for '{ids[need]}', which waits for it")
