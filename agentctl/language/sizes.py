"""Sizes as people write them: `10MiB`, `512KiB`, `1MB`, or a number of bytes."""

from __future__ import annotations

import re
from typing import Any

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?(B|KB|MB|GB|KiB|MiB|GiB)")


def parse_size(size: Any) -> int:
    """Bytes. Raises ValueError with a sentence for what is no size or none at all."""
    if isinstance(size, int) and not isinstance(size, bool):
        found = size
    else:
        match = _SIZE.fullmatch(size) if isinstance(size, str) else None
        if not match:
            raise ValueError(f"{size!r} is no size; expected one such as 512KiB or 10MiB")
        found = int(float(match[1]) * UNITS[match[2]])
    if found < 1:
        raise ValueError("a size has to be at least one byte")
    return found


def format_size(count: int) -> str:
    """`512 B`, `3.4 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
