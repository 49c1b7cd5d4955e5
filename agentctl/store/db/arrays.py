"""Many values as one parameter of a statement, which reads them by `json_each(?)`: however many, the statement stays the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


def array(values: Iterable[Any]) -> str:
    return msgspec.json.encode(list(values)).decode()
