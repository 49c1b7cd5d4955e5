"""YAML text -> data and places, within limits.

The parser's events are read one by one and made into `Node`s here, instead of by ruamel's composer: that one recurses in C
and ends the process on 100,000 open brackets; here depth is refused at once. Scalars follow the core schema
of YAML 1.2: `on`, `yes` and dates are text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

from agentctl.language.problems import Problem, Severity
from agentctl.language.yaml.errors import Refused, explain
from agentctl.language.yaml.tree import Node, Path, Place, find, locate, unread_places

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000  # after aliases are expanded
MAX_TEXT = 4 * MAX_BYTES  # characters, after aliases are expanded
MAX_SLOW = 64 * 1024  # characters that the slow parser, which takes a second for about 50,000, is tried on
MAX_DEPTH = 64
MAX_PROBLEMS = 200  # listed for one file; a file with more is another kind of file

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Any] = {"": None, "~": None}
for _word, _value in (("null", None), ("true", True), ("false", False)):
    _WORDS.update({_word: _value, _word.title(): _value, _word.upper(): _value})


class TooMany(Exception):
    """There are more errors than anybody reads: the checks stop."""


class _NoValue(Exception):
    """A scalar that is no value here; the rest of the file can be read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Source:
    """A file's text, its data (plain JSON) and its places. `problems` grows with each check.
    `digest`: SHA-256 of the file's bytes, in hex.  `unread`: where a value could not be taken; nothing else is reported of what
    stands there.

    `root` and `data` are None when the file could not be read as YAML at all; `problems` then says why.
    """

    file: str
    text: str
    root: Node | None = None
    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    digest: str = ""
    unread: set[Place] = field(default_factory=set)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def at(self, path: Path) -> Place:
        """Line and column, from 1, of the key or list item at `path`."""
        return find(self.root, path)[0] if self.root else (1, 1)

    def inside(self, path: Path, offset: int | None) -> Place:
        """The place of character `offset` of the text at `path`; its key's when there is no offset."""
        if self.root is None or offset is None:
            return self.at(path)
        place, node = find(self.root, path)
        return locate(node, offset, self.lines) if node and isinstance(node.value, str) else place

    def written(self, path: Path) -> str | None:
        """The text of the plain scalar at `path`, as it stands in the file."""
        node = find(self.root, path)[1] if self.root else None
        return node.text if node is not None and not node.style and node.text else None

    def report(self, place: Place, code: str, message: str, severity: Severity = "error") -> None:
        if place in self.unread:
            return
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.file, place[0], place[1], severity, code, message))
        elif severity == "error":
            raise TooMany

    def give_up(self) -> None:
        """After TooMany: say so in the place of the last problem."""
        place = self.at(())
        self.problems[-1] = Problem(self.file, *place, "error", "too-large", "there are more problems than can be listed")


def read_file(path: FilePath, file: str | None = None) -> Source:
    """Read a YAML file. Never raises for what is in it: it is in `problems`. `file`: the name to show."""
    name = file or str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        source = Source(name, "")
        source.report((1, 1), "unreadable", f"cannot be read: {error.strerror or error}")
        return source
    return read_bytes(data, name)


def read_bytes(data: bytes, file: str) -> Source:
    """As `read_file`, of bytes already there."""
    source = Source(file, "")
    if len(data) > MAX_BYTES:
        source.report((1, 1), "too-large", "the file is over 1 MiB; a definition has to be smaller")
    elif b"\0" in data:
        source.report((1, 1), "not-text", "this is a binary file, not a text in YAML")
    else:
        try:
            source = read_text(data.decode("utf-8-sig"), file)
            source.digest = hashlib.sha256(data).hexdigest()
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            source.report((line, column), "not-text", "the file is not UTF-8 text here")
    return source


def read_text(text: str, file: str = "<text>") -> Source:
    """As `read_file`, of a text."""
    source = Source(file, text)
    try:
        source.root = _read(source)
        if source.problems:
            source.unread |= unread_places(source.root)
        source.data = _Data(source).of(source.root, 0)
    except Refused as refused:
        source.root = source.data = None
        source.report(refused.place, refused.code, refused.message)
    except TooMany:
        source.root = source.data = None
        source.give_up()
    return source


def _read(source: Source) -> Node:
    """The tree, by the quick parser; by the slow one where that refuses the text: it knows more of YAML 1.2, such as
    `{url: http://x}` and `{a: ready?}`."""
    try:
        return _Tree(source).read()
    except (Refused, TooMany):
        raise
    except Exception as error:  # every kind of error of the parser; `explain` re-raises what is none
        refused = explain(error, source.text)
        if len(source.text) > MAX_SLOW:
            raise refused from None
    source.problems.clear()
    source.unread.clear()
    try:
        return _Tree(source, quick=False).read()
    except (Refused, TooMany):
        raise
    except Exception as error:
        explain(error, source.text)
        raise refused from None


class _Tree:
    """Events to nodes, with an explicit stack."""

    def __init__(self, source: Source, *, quick: bool = True) -> None:
        self.source = source
        self.quick = quick
        self.anchors: dict[str, Node] = {}
        self.stack: list[Node] = []
        self.pending: list[tuple[str | None, Place] | None] = []  # the key read last, for each open mapping
        self.root: Node | None = None
        self.documents = 0

    def read(self) -> Node:
        events = _events(self.source.text, quick=self.quick)
        for event in events:
            self.take(event)
            if self.documents > 1:
                self.trailing(event, [type(one).__name__ for one in self.nothing(events)])
                break
        if self.root is None or (self.root.value is None and self.root.style == ""):
            raise Refused((1, 1), "empty", "the file is empty; a definition begins with 'loop: NAME' or 'skill: NAME'")
        return self.root

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        place: Place = (event.start_mark.line + 1, event.start_mark.column + 1)
        end: Place = (event.end_mark.line + 1, event.end_mark.column + 1)
        if kind == "ScalarEvent":
            self.add(self.scalar(event, place, end), event.anchor)
        elif kind == "AliasEvent":
            self.add(self.alias(event.anchor, place, end), None)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self.open(Node({} if kind[0] == "M" else [], place, end, open=True), event)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.close(end)
        elif kind == "DocumentStartEvent":
            self.documents += 1

    def nothing(self, events: Iterator[Any]) -> Iterator[Any]:
        """The events after an empty value, if one comes next."""
        first = next(events)
        if type(first).__name__ == "ScalarEvent" and not (first.value or first.style or first.tag or first.anchor):
            yield from islice(events, 2)

    def trailing(self, start: Any, kinds: list[str]) -> None:
        """A second document is refused, but for an empty one: a `---` at the end of the file."""
        if kinds != ["DocumentEndEvent", "StreamEndEvent"]:
            place = (start.start_mark.line + 1, start.start_mark.column + 1)
            message = "one file holds one definition; put the next document in a file of its own"
            self.source.report(place, "yaml-unsupported", message)

    def scalar(self, event: Any, place: Place, end: Place) -> Node:
        text, tag, style = event.value, event.tag, event.style or ""
        node = Node(text, place, end, text, style)
        if tag is not None and tag not in ("!", "tag:yaml.org,2002:str"):
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse(node, "yaml-unsupported", f"YAML tags such as {shown} are not supported; write the plain value")
        elif not style and not tag:
            try:
                node.value = _plain(text)
            except _NoValue as refused:
                self.refuse(node, refused.code, refused.message)
        return node

    def refuse(self, node: Node, code: str, message: str) -> None:
        """Report that the node cannot be used, and continue."""
        self.source.report(node.place, code, message)
        node.unread = True

    def alias(self, anchor: str, place: Place, end: Place) -> Node:
        node = self.anchors.get(anchor)
        if node is not None and not node.open:
            return node
        message = f"refers to no anchor &{anchor} above it" if node is None else "stands inside what it refers to"
        nothing = Node(None, place, end, f"*{anchor}")
        self.refuse(nothing, "alias", f"the alias *{anchor} {message}")
        return nothing

    def open(self, node: Node, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            self.refuse(node, "yaml-unsupported", f"YAML tags such as {event.tag} are not supported")
        self.add(node, event.anchor)
        self.stack.append(node)
        self.pending.append(None)
        if len(self.stack) > MAX_DEPTH:
            raise Refused(node.place, "too-large", f"the file is nested more than {MAX_DEPTH} levels deep")

    def close(self, end: Place) -> None:
        node = self.stack.pop()
        self.pending.pop()
        node.open, node.end = False, end

    def add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        holder = self.stack[-1]
        if isinstance(holder.value, list):
            holder.value.append(node)
        elif self.pending[-1] is None:
            self.pending[-1] = self.key(node), node.place
            if node.unread:
                self.source.unread.add(node.place)
        else:
            key, place = self.pending[-1]
            self.pending[-1] = None
            self.entry(holder, key, place, node)

    def key(self, node: Node) -> str | None:
        """None: it cannot be one at all."""
        if isinstance(node.value, dict | list):
            message = "a key has to be text, not a list or a mapping; a value that begins with { or [ needs quotes"
            self.refuse(node, "yaml-unsupported", message)
            return None
        if not isinstance(node.value, str) and not node.unread:
            self.refuse(node, "yaml-unsupported", f'the key {node.text or "null"} has to be text: write "{node.text}"')
        return node.text

    def entry(self, holder: Node, key: str | None, place: Place, node: Node) -> None:
        if key is None:
            holder.unread = True  # most likely meant to be a text: `{{ x }}`
            return
        if key in holder.keys:
            first = holder.keys[key][0]
            self.source.report(place, "duplicate-key", f"the key '{key}' is here twice; the first is in line {first}")
            return
        holder.value[key] = node
        holder.keys[key] = place


class _Data:
    """Nodes to plain data: aliases are expanded (and counted), merge keys are merged."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = 0
        self.text = 0

    def of(self, node: Node, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            message = f"the file has more than {MAX_NODES:,} values once its aliases are expanded"
            raise Refused(node.place, "too-large", message)
        if depth > MAX_DEPTH:
            message = f"the file is nested more than {MAX_DEPTH} levels deep once its aliases are expanded"
            raise Refused(node.place, "too-large", message)
        if isinstance(node.value, list):
            return [self.of(item, depth + 1) for item in node.value]
        if isinstance(node.value, dict):
            if "<<" in node.value:
                self.merge(node)
            self.text += sum(map(len, node.value))
            return {key: self.of(value, depth + 1) for key, value in node.value.items()}
        if isinstance(node.value, str):
            self.text += len(node.value)
        if self.text > MAX_TEXT:
            message = f"the file has more than {MAX_TEXT:,} characters once its aliases are expanded"
            raise Refused(node.place, "too-large", message)
        return node.value

    def merge(self, node: Node) -> None:
        """Take in the entries of `<<: *other` or `<<: [*a, *b]`; keys written here win, then the earlier ones."""
        place = node.keys.pop("<<")
        merged = node.value.pop("<<")
        for other in merged.value if isinstance(merged.value, list) else [merged]:
            if not isinstance(other.value, dict):
                self.source.report(place, "yaml-unsupported", "'<<' takes in the keys of a mapping: write '<<: *anchor'")
                continue
            if "<<" in other.value:
                self.merge(other)
            for key, value in other.value.items():
                if key not in node.value:
                    node.value[key], node.keys[key] = value, other.keys[key]
            self.count += len(other.value)


def _events(text: str, *, quick: bool) -> Iterator[Any]:
    from ruamel.yaml import YAML

    yield from YAML(typ="safe", pure=not quick).parse(text)


def _plain(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2. Raises _NoValue."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _NOT_FINITE.fullmatch(text):
        raise _NoValue("wrong-value", f"{text} is not a number that can be used here")
    if _INT.fullmatch(text):
        number = int(text, 0) if text[:2] in ("0o", "0x") else int(text) if len(text) < 21 else 2**64
        if not -(2**63) <= number < 2**63:
            raise _NoValue("too-large", "this number needs more than 64 bits; write it in quotes")
        return number
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise _NoValue("too-large", "this number is too large; write it in quotes")
        return value
    return text
