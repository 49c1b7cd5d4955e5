"""Request bodies: read up to a size, then as JSON up to a depth."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from starlette.requests import Request

from agentctl import JSON
from agentctl.service.http.responses import Refusal

LARGEST = 1 << 20  # bytes
DEEPEST = 100  # levels of lists and mappings, one within the other


async def read(request: Request) -> bytes:
    """The whole body. Raises Refusal as soon as it is known to be too large, at the latest when it is."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise _too_large()
    return bytes(body)


def _too_large() -> Refusal:
    return Refusal(413, "too_large", f"the body may have {LARGEST} bytes at most")


def decode(body: bytes) -> JSON:
    """Raises ValueError, in a sentence, for what is no JSON, and for JSON that nobody could work with."""
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"


def _inside(value: JSON) -> Iterable[JSON]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
