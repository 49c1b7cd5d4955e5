"""The YAML tree with its places: what the walk over the parser's events makes, before anything is read as a definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Place = tuple[int, int]  # line and column, both from 1
Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A scalar (`value` is JSON), a list of nodes, or a mapping of nodes; where it stands in the file.

    `text` and `style` of a scalar are as the parser gave them: `'` `"` `|` `>` or empty for a plain one.
    `keys`: the places of a mapping's keys.  `unread`: what is written there could not be taken, which is reported already.
    """

    value: Any
    place: Place
    end: Place
    text: str = ""
    style: str = ""
    keys: dict[str, Place] = field(default_factory=dict)
    open: bool = False  # still being read: an alias to it would contain itself
    unread: bool = False


def find(root: Node, path: Path) -> tuple[Place, Node | None]:
    """The place of the key (or list item) at `path`, and its node. A path that leads nowhere: the last place on the way."""
    node, place = root, root.place
    for step in path:
        if isinstance(node.value, dict) and step in node.value and isinstance(step, str):
            place, node = node.keys[step], node.value[step]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            place = node.place
        else:
            return place, None
    return place, node


def unread_places(root: Node) -> set[Place]:
    """Where all that could not be taken stands, and the keys that it belongs to."""
    found: set[Place] = set()
    seen: set[int] = set()  # an alias leads to the same node again
    rest = [root]
    while rest:
        node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.unread:
            found.add(node.place)
        if isinstance(node.value, dict):
            found |= {node.keys[key] for key, value in node.value.items() if value.unread}
            rest += node.value.values()
        elif isinstance(node.value, list):
            rest += node.value
    return found


def locate(node: Node, offset: int, lines: list[str]) -> Place:
    """The place in the file of character `offset` of a scalar's value.

    Value and raw text are walked side by side, so quotes, escapes, block indentation and folded lines are all
    followed; where they cannot be, the place reached so far is given.
    """
    line, column = node.place
    raw = "\n".join([lines[line - 1][column - 1 :], *lines[line : node.end[0]]])
    at = 1 if node.style in ("'", '"') else 0
    if node.style in ("|", ">"):
        at = raw.find("\n") + 1
    if raw.startswith(node.text[:offset], at):
        at += offset
    elif offset > _FAR:
        return node.place
    else:
        for char in node.text[:offset]:
            at = _advance(raw, at, char)
    while at < len(raw) and raw[at].isspace() and not node.text[offset : offset + 1].isspace():
        at += 1
    before = raw[:at]
    breaks = before.count("\n")
    return (line + breaks, at - before.rfind("\n")) if breaks else (line, column + at)


_FAR = 20_000  # characters; a walk over more, for every problem of the text, would take seconds
_ESCAPES = ('\\"', "\\\\", "\\n", "\\t")


def _advance(raw: str, at: int, char: str) -> int:
    """Where in `raw` the character after `char` begins."""
    while at < len(raw) and raw[at] != char and raw[at].isspace():
        at += 1
    pair = raw[at : at + 2]
    if pair == "''" or (pair in _ESCAPES and raw[at] != char):
        return at + 2
    if raw[at : at + 1] == char:
        return at + 1
    return at  # a folded line break, or an escape this walk does not follow
