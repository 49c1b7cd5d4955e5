"""How secrets are kept out of what is stored or shown: every form in which a value may turn up, replaced by `***`.

Values are masked as a whole. Whoever shortens a text masks it first: a part of a secret cannot be found.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from urllib.parse import quote, quote_plus

from agentctl import JSON

MASK = "***"
SHORTEST = 4
SHORTEST_WITHIN = 6  # bytes; of shorter ones too little is left to tell a secret from chance
_LINE_SEEN = 64  # bytes
_LINE = 16  # characters; shorter lines of a secret are too common to be masked by themselves
# What the encoders of URLs leave as it is: nothing, paths, encodeURIComponent, encodeURI, HTTP clients.
_SAFE_IN_URLS = ("", "/", "!'()*", ";,/?:@&=+$!*'()#", "!$&'()*+,;=:@/?")
_ESCAPED = re.compile("%[0-9A-F]{2}")
# Base64 over several lines, also as a text in JSON.
_BREAK = r"(?:\r?\n|(?:\\r)?\\n)[ \t]*"
_WRAPPED = re.compile(rf"[A-Za-z0-9+/_-]{{32,}}(?:{_BREAK}[A-Za-z0-9+/_=-]+)+")
_WRAPPED_BYTES = re.compile(_WRAPPED.pattern.encode())
_BREAKS = re.compile(_BREAK)
_LONG_LINE = re.compile(rf"[A-Za-z0-9+/_-]{{32,}}{_BREAK}".encode())
_HALF_BREAK = re.compile(rb"(?:\r|\\(?:r\\?)?)\Z")
_OF_BLOCKS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_=-\r\n\\ \t"


class Masker:
    """Masks a fixed set of values."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = [value for value in values if len(value.strip()) >= SHORTEST]

    def mask(self, value: JSON) -> JSON:
        """The same JSON value with each secret inside its strings, keys too, replaced by `***`."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self.mask_text(value)
        if isinstance(value, dict):
            return {self.mask_text(key): self.mask(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask(item) for item in value]
        return value

    def mask_text(self, text: str) -> str:
        if not self._values:
            return text
        text = self._pattern.sub(MASK, text)
        return _WRAPPED.sub(self._mask_wrapped, text) if "\n" in text or "\\n" in text else text

    def stream(self) -> StreamMasker:
        """For bytes that come in chunks."""
        return StreamMasker(self._forms, self._packed, self.mask_bytes if self._values else None)

    def mask_bytes(self, data: bytes) -> bytes:
        data = self._bytes_pattern.sub(MASK.encode(), data)
        if b"\n" not in data and b"\\n" not in data:
            return data
        return _WRAPPED_BYTES.sub(lambda match: self._mask_wrapped_text(match[0].decode("latin-1")).encode("latin-1"), data)

    def _mask_wrapped(self, match: re.Match[str]) -> str:
        return self._mask_wrapped_text(match[0])

    def _mask_wrapped_text(self, block: str) -> str:
        """A block of lines in base64, without the secrets that go over the end of a line."""
        compact, places = _joined(block)
        for found in reversed(list(self._packed_pattern.finditer(compact))):
            block = block[: places[found.start()]] + MASK + block[places[found.end() - 1] + 1 :]
        return block

    @cached_property
    def _forms(self) -> list[bytes]:
        found = {form for value in self._values for form in forms(value)}
        return sorted(form.encode("utf-8", "surrogateescape") for form in found)

    @cached_property
    def _packed(self) -> list[bytes]:
        return sorted({form.encode() for value in self._values for form in _packed_forms(value)})

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(_any_of({form for value in self._values for form in forms(value)}))

    @cached_property
    def _bytes_pattern(self) -> re.Pattern[bytes]:
        return re.compile(_any_of({form.decode("latin-1") for form in self._forms}).encode("latin-1"))

    @cached_property
    def _packed_pattern(self) -> re.Pattern[str]:
        return re.compile(_any_of({form for value in self._values for form in _packed_forms(value)}))


def _any_of(texts: Iterable[str], depth: int = 2) -> str:
    """A regular expression for any of these texts, the longest first: a secret that begins with another one goes as a whole.

    Those that begin alike stand together, so that few have to be tried at a place.
    """
    groups: dict[str, list[str]] = {}
    for text in sorted(texts, key=len, reverse=True):
        groups.setdefault(text[:1], []).append(text)
    if not depth or len(groups) == sum(map(len, groups.values())):
        return "|".join(re.escape(text) for group in groups.values() for text in group)
    return "|".join(f"{re.escape(head)}(?:{_any_of([text[1:] for text in group], depth - 1)})" for head, group in groups.items())


class StreamMasker:
    """Masks secrets in a stream, also across chunks: an end that may begin a secret waits for the next chunk."""

    def __init__(self, forms: list[bytes], packed: list[bytes], mask: Callable[[bytes], bytes] | None) -> None:
        """`forms`, `packed` (those in base64, which may go over lines): sorted."""
        self._forms = forms
        self._packed = packed
        self._mask = mask
        self._longest = max(map(len, forms), default=0)
        self._held = b""
        self._line = b""  # the end of what was let go, as far as it belongs to the present line: base64 and words differ by it

    def feed(self, chunk: bytes) -> bytes:
        """What can be let go so far."""
        if self._mask is None:
            return chunk
        text = self._mask(self._line + self._held + chunk)
        if not text.startswith(self._line):
            text = self._line + self._mask(self._held + chunk)
        start = max(len(self._line), self._beginning(text))
        clean, self._held = text[len(self._line) : start], text[start:]
        self._line = text[:start].rpartition(b"\n")[2][-_LINE_SEEN:]
        return clean

    def finish(self) -> bytes:
        """The rest."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, text: bytes) -> int:
        """Where the first end of the text starts that may be the beginning of a secret; the length of the text if none does."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if _begins_one(self._forms, text[start:]):
                return min(start, self._wrapped_beginning(text))
        return self._wrapped_beginning(text)

    def _wrapped_beginning(self, text: bytes) -> int:
        """The same, of a secret in base64 that goes over the end of a line."""
        tail = text[-2 * self._longest :]
        block = tail[len(tail.rstrip(_OF_BLOCKS)) :]
        ended = _HALF_BREAK.sub(b"\n", block)
        if not _LONG_LINE.search(ended):
            return len(text)
        compact, places = _joined(ended.decode("latin-1"))
        packed = compact.encode("latin-1")
        for start in range(len(packed)):
            if _begins_one(self._packed, packed[start:]):
                return len(text) - len(block) + places[start]
        return len(text)


def _joined(block: str) -> tuple[str, list[int]]:
    """Lines of base64 as one text, and where in the block each of its characters is."""
    places: list[int] = []
    end = 0
    for gap in [*(found.span() for found in _BREAKS.finditer(block)), (len(block), len(block))]:
        places += range(end, gap[0])
        end = gap[1]
    return "".join(block[place] for place in places), places


def _begins_one(forms: list[bytes], beginning: bytes) -> bool:
    """Whether one of the sorted forms begins so."""
    place = bisect_left(forms, beginning)
    return bool(beginning) and place < len(forms) and forms[place].startswith(beginning)


@lru_cache(maxsize=512)
def forms(value: str) -> frozenset[str]:
    """The ways in which a secret may turn up.

    As it is; in JSON, also within a text of JSON; in what Python shows of a text or of bytes; in a URL; in HTML; in hexadecimal;
    in base64; each line of it when it has several.
    """
    data = value.encode("utf-8", "surrogateescape")
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    found = {value, value.strip(), *escaped, data.hex(), data.hex().upper()}
    found |= {json.dumps(form, ensure_ascii=asciied)[1:-1] for form in escaped for asciied in (True, False)}
    found |= set(_shown_by_python(value, data))
    found |= set(_in_urls(value))
    found |= set(_in_html(value))
    found |= _packed_forms(value)
    # A key in PEM form is printed line by line by many tools.
    found |= {line for line in value.splitlines() if len(line.strip()) >= _LINE}
    return frozenset(form for form in found if form)


def _shown_by_python(value: str, data: bytes) -> Iterator[str]:
    """By `repr` and `ascii`, in either kind of quotes, also within a `repr` of it."""
    for shown in (repr(value), ascii(value), repr(value + "'\"")[:-4] + "'", repr(data)[1:]):
        yield shown[1:-1]
        yield repr(shown[1:-1])[1:-1]


def _in_urls(value: str) -> Iterator[str]:
    """With escapes in upper and in lower case."""
    for escaped in (*(quote(value, safe, errors="surrogateescape") for safe in _SAFE_IN_URLS), _plus(value)):
        yield escaped
        yield _ESCAPED.sub(lambda escape: escape[0].lower(), escaped)


def _plus(value: str) -> str:
    return quote_plus(value, errors="surrogateescape")


def _in_html(value: str) -> Iterator[str]:
    bare = html.escape(value, quote=False)
    yield bare
    for double in ("&quot;", "&#34;"):
        for single in ("&#x27;", "&#39;", "&apos;", "'"):
            yield bare.replace('"', double).replace("'", single)


@lru_cache(maxsize=512)
def _packed_forms(value: str) -> frozenset[str]:
    """In base64: alone, and inside a longer text (`user:secret` of basic authentication)."""
    data = value.encode("utf-8", "surrogateescape")
    found = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        alone = encode(data).decode()
        found |= {alone, alone.rstrip("=")}
        if len(data) < SHORTEST_WITHIN:
            continue
        # By how the bytes before it fall, one of three. The character that it shares with its neighbour is left out at both ends.
        for before in range(3):
            begin, end = -(-8 * before // 6), 8 * (before + len(data)) // 6
            found.add(encode(b"\0" * before + data).decode()[begin:end])
    return frozenset(found)
