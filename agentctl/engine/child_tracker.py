"""Which children keep their parent in memory: a run stays as long as a child that it waits for is held here."""

from __future__ import annotations


class ChildTracker:
    def __init__(self) -> None:
        self._children: dict[str, set[str]] = {}
        self._parent: dict[str, str] = {}

    def add(self, child: str, parent: str) -> None:
        self._parent[child] = parent
        self._children.setdefault(parent, set()).add(child)

    def has_child(self, parent: str) -> bool:
        return parent in self._children

    def discard(self, child: str) -> str | None:
        """The child is held no more. Returns its parent, if that has no other child here."""
        parent = self._parent.pop(child, None)
        if parent is None:
            return None
        siblings = self._children[parent]
        siblings.discard(child)
        if siblings:
            return None
        del self._children[parent]
        return parent
