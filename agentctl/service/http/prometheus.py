"""Figures as text for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["counter", "gauge"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ChildTracker(msgspec.Struct, frozen=True):
    """One metric. `samples`: (labels, value)."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]


def render(families: Iterable[ChildTracker]) -> str:
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: ChildTracker) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value in family.samples:
        shown = ",".join(f'{name}="{_quoted(text)}"' for name, text in labels.items())
        yield f"{family.name}{{{shown}}} {value!r}" if shown else f"{family.name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
