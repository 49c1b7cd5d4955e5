"""The body of an answer: read up to a size, unpacked, and made text or JSON by the charset it says.

What cannot be decoded is `output.invalid`: a text full of U+FFFD would look like an answer. `parse: bytes` takes any body.
"""

from __future__ import annotations

import codecs
import zlib
from typing import TYPE_CHECKING

from agentctl import JSON
from agentctl.errors import ActionError
from agentctl.expressions.json_text import read_json
from agentctl.ports import LargeOutput, Surroundings

if TYPE_CHECKING:
    import httpx2

ERROR_BODY = 4096  # bytes of the body that an error keeps
_ERROR_READ = 64 << 10  # bytes that are read for it: secrets are masked before it is cut
_PLAIN = ("", "identity", "none")
_GZIP, _DEFLATE = ("gzip", "x-gzip"), ("deflate", "x-deflate")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NO_CHARSETS = ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "unicode-escape", "raw-unicode-escape")
_HINT = "`parse: bytes` keeps it as a file"


async def read_body(response: httpx2.Response, limit: int) -> bytes:
    """The first `limit` bytes of the body, unpacked. Takes no more from the network than the chunk that holds the last of them.

    Raises ValueError with a clause when it is packed in a way that cannot be undone, or damaged.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in _PLAIN:
        return await read_raw(response, limit)
    if coding not in _GZIP + _DEFLATE:
        raise ValueError(f"its content-encoding is {coding}, and only gzip and deflate were asked for")
    unpacker, data = _Unpacker(coding), bytearray()
    async for chunk in response.aiter_raw():
        data += unpacker.feed(chunk, limit - len(data))
        if len(data) >= limit:
            return bytes(data)
    unpacker.finish()
    return bytes(data)


async def read_raw(response: httpx2.Response, limit: int) -> bytes:
    """The first `limit` bytes of the body as they come."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= limit:
            break
    return bytes(data[:limit])


class _Unpacker:
    """gzip or deflate, a piece at a time and within a limit."""

    def __init__(self, coding: str) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16 if coding in _GZIP else zlib.MAX_WBITS)
        self._may_be_bare = coding in _DEFLATE  # some servers leave out the head that deflate has
        self._has_begun = False

    def feed(self, chunk: bytes, limit: int) -> bytes:
        self._has_begun = self._has_begun or bool(chunk)
        try:
            data = self._inflate.decompress(chunk, limit)
        except zlib.error:
            if not self._may_be_bare:
                raise ValueError("it is damaged, or not packed as its content-encoding says") from None
            self._inflate, self._may_be_bare = zlib.decompressobj(-zlib.MAX_WBITS), False
            return self.feed(chunk, limit)
        self._may_be_bare = False
        return data

    def finish(self) -> None:
        if self._has_begun and not self._inflate.eof:
            raise ValueError("it ends before what is packed in it does")


async def parsed(response: httpx2.Response, how: str, limit: int, around: Surroundings, url: str) -> JSON:
    """The body of an answer as `parse` says. Raises http.too_large, output.invalid. `url`: for messages."""
    if how == "bytes":
        return await _kept(response, limit, around, url)
    try:
        data = await read_body(response, limit + 1)
        _demand_size(data, limit, url)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = how == "json" or (how == "auto" and (kind == "application/json" or kind.endswith("+json")))
        if is_json and not data and how == "auto":
            return None
        text = decoded(data, response.charset_encoding)
    except ValueError as error:
        raise ActionError("output.invalid", f"The answer of {url} cannot be read: {error}; {_HINT}.") from None
    if not is_json:
        return text
    try:
        return read_json(text.encode())
    except ValueError as error:
        raise ActionError("output.invalid", f"The answer of {url} is not JSON: {error}.") from None


async def _kept(response: httpx2.Response, limit: int, around: Surroundings, url: str) -> LargeOutput:
    """The body, to be kept as a file beside the store, unpacked where that can be done."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    is_known = coding in _PLAIN + _GZIP + _DEFLATE
    try:
        data = await (read_body if is_known else read_raw)(response, limit + 1)
    except ValueError as error:
        raise ActionError("output.invalid", f"The answer of {url} cannot be read: {error}.") from None
    _demand_size(data, limit, url)
    scrubber = around.scrubber()
    return LargeOutput(None, scrubber.feed(data) + scrubber.finish(), "bytes")


def _demand_size(data: bytes, limit: int, url: str) -> None:
    if len(data) > limit:
        raise ActionError("http.too_large", f"The answer of {url} is over {limit} bytes (`max_bytes`).")


def decoded(data: bytes, charset: str | None) -> str:
    """The text of bytes in a charset, UTF-8 where none is given; a byte order mark is dropped.

    Raises ValueError with a clause for a charset that is not known and for bytes that are not of it.
    """
    name = _codec(charset)
    for mark, marked in _BOMS:
        if data.startswith(mark) and (charset is None or marked.startswith(name)):
            data, name = data[len(mark) :], marked
            break
    try:
        return data.decode(name).removeprefix("\ufeff")
    except LookupError:  # a codec that makes no text, such as hex
        raise ValueError(f"its charset {charset!r} is not known") from None
    except UnicodeError:
        where = "UTF-8, and it names no charset" if charset is None else f"the charset that it names, {charset}"
        raise ValueError(f"it is not in {where}") from None


def _codec(charset: str | None) -> str:
    """Python's name of a charset. Raises ValueError with a clause."""
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        name = ""
    if not name or name in _NO_CHARSETS:
        raise ValueError(f"its charset {charset!r} is not known")
    return name


async def error_text(response: httpx2.Response, around: Surroundings) -> str:
    """The beginning of a body that an error shows, without secrets, not even a part of one at its end."""
    try:
        data = await read_body(response, _ERROR_READ)
    except ValueError:
        return ""
    try:
        text = decoded(data, response.charset_encoding)
    except ValueError:
        text = data.decode("utf-8", "replace")
    scrubber = around.scrubber()
    clean = scrubber.feed(text.encode("utf-8", "replace"))
    if len(data) < _ERROR_READ:
        clean += scrubber.finish()
    return clean[:ERROR_BODY].decode("utf-8", "replace")
