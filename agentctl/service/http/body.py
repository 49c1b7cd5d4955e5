"""Request bodies: read up to a size, then as JSON up to a depth."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from agentctl import JSON
from agentctl.service.http.responses import Refusal

LARGEST = 1 << 20  # bytes
MOST_FIELDS = 1000  # of a form
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


def text(body: bytes, content_type: str) -> str:
    """The text of a body in the charset that its Content-Type names, UTF-8 where it names none; a byte order mark is dropped.

    Raises Refusal for bytes that are not of it.
    """
    charset = next((value for name, value in _parameters(content_type) if name == "charset"), "utf-8")
    try:
        name = codecs.lookup(charset).name
        return body.decode("utf-8-sig" if name == "utf-8" else name).removeprefix("\ufeff")
    except (LookupError, UnicodeError):
        raise Refusal(400, "usage", f"the body is not text in the charset {charset}") from None


def _parameters(content_type: str) -> Iterable[tuple[str, str]]:
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        yield name.strip().lower(), value.strip().strip('"')


def form(body: str) -> dict[str, JSON]:
    """The fields of a form; one that comes several times has a list of values. Raises Refusal for too many."""
    fields: dict[str, JSON] = {}
    try:
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refusal(400, "usage", f"a form has {MOST_FIELDS} fields at most") from None
    for name, value in pairs:
        known = fields.get(name)
        fields[name] = value if known is None else [*known, value] if isinstance(known, list) else [known, value]
    return fields


def decode(body: bytes | str) -> JSON:
    """Raises ValueError, in a sentence, for what is not JSON, and for JSON that nobody could work with."""
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
