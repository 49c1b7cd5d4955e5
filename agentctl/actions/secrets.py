"""Secrets: where they are read, and how their values are kept out of everything that is stored or shown.

All variables of the environment can be read as `secrets.X`, but most hold no secret (PATH, LANG), and replacing their values
everywhere would ruin every log. So scrubbed are: every value that was read through `read` in this process, every file of
systemd's credentials folder, and the values of the project's `.env` but for plain lower-case words and short numbers whose name
does not sound secret (`PORT=8080`, `DEBUG=true`). Values under four characters are never scrubbed.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from agentctl import JSON

MASK = "***"
SHORTEST = 4
SHORTEST_WITHIN = 6  # bytes; of shorter ones too little is left to be told from chance
_SOUNDS_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH|PRIVATE|DSN", re.IGNORECASE)
_PLAIN = re.compile(r"[a-z]+|[0-9]{1,5}")


class Secrets:
    """Reads secrets by name, and knows what to scrub.

    `root`: the project's folder, whose `.env` is read.  `sources`, in the order in which they are asked: `env` (the process's
    environment, then `.env`) and `credentials` (the files of $CREDENTIALS_DIRECTORY).
    """

    def __init__(
        self, root: Path, sources: Iterable[str] = ("env", "credentials"), environ: Mapping[str, str] = os.environ
    ) -> None:
        self._layers: list[Mapping[str, str]] = []
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._bytes_pattern: re.Pattern[bytes] | None = None
        self._forms: frozenset[bytes] = frozenset()
        known: list[str] = []
        for source in sources:
            if source == "env":
                written = read_env_file(root / ".env")
                self._layers += [environ, written]
                known += [value for name, value in written.items() if _SOUNDS_SECRET.search(name) or not _PLAIN.fullmatch(value)]
            elif source == "credentials":
                files = _credentials(environ.get("CREDENTIALS_DIRECTORY"))
                self._layers.append(files)
                known += files.values()
        self._learn(known)

    def names(self) -> list[str]:
        return sorted({name for layer in self._layers for name in layer})

    def read(self, name: str) -> str:
        """The value; from now on it is scrubbed. Raises KeyError when there is no secret of that name."""
        for layer in self._layers:
            if name in layer:
                value = layer[name]
                if value not in self._values:
                    self._learn([value])
                return value
        raise KeyError(name)

    def get(self, name: str) -> str | None:
        """The same; None when there is no secret of that name."""
        try:
            return self.read(name)
        except KeyError:
            return None

    def scrub(self, value: JSON) -> JSON:
        """The same JSON value with each secret inside its strings (keys too), encoded or not, replaced by `***`."""
        return value if self._pattern is None else _scrub(value, self._pattern)

    def scrubber(self) -> StreamScrubber:
        """For bytes that come in chunks. It knows the secrets as of now."""
        return StreamScrubber(self._bytes_pattern, self._forms)

    def _learn(self, values: Iterable[str]) -> None:
        self._values.update(values)
        forms = {form for value in self._values if len(value.strip()) >= SHORTEST for form in _forms(value)}
        if forms:
            # Longest first: a secret that begins with another one must go as a whole.
            ordered = sorted(forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))
            self._forms = frozenset(form.encode("utf-8", "surrogateescape") for form in forms)
            self._bytes_pattern = re.compile(b"|".join(re.escape(form) for form in sorted(self._forms, key=len, reverse=True)))


class StreamScrubber:
    """Replaces secrets in a stream, also across chunks: an end that may begin a secret waits for the next chunk."""

    def __init__(self, pattern: re.Pattern[bytes] | None, forms: frozenset[bytes]) -> None:
        self._pattern = pattern
        self._beginnings = {form[:length] for form in forms for length in range(1, len(form))}
        self._longest = max(map(len, forms), default=0)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        if self._pattern is None:
            return chunk
        text = self._pattern.sub(MASK.encode(), self._held + chunk)
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-length:] in self._beginnings:
                self._held = text[-length:]
                return text[:-length]
        self._held = b""
        return text

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value` lines, `export` before them allowed, values quoted or not, `#` comments.

    Double quotes know backslash escapes (`\\n`, `\\"`); quoted values may span lines. Nothing is expanded. No file: no variables.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return dict(_assignments(text))


_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*
        (?: "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>[^']*)' | (?P<bare>[^\r\n]*) )""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while match := _ASSIGNMENT.search(text, position):
        double, single, bare = match.group("double", "single", "bare")
        if double is not None:
            value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), double, flags=re.DOTALL)
        elif single is not None:
            value = single
        else:
            value = re.split(r"(?:^|\s)#", bare, maxsplit=1)[0].strip()
        yield match["name"], value
        position = text.find("\n", match.end())
        if position < 0:
            return


def _credentials(folder: str | None) -> dict[str, str]:
    """systemd's credentials by the name of their file; the newline that ends most of them is no part of the secret."""
    if not folder or not os.path.isdir(folder):
        return {}
    return {
        file.name: file.read_text(encoding="utf-8", errors="replace").removesuffix("\n")
        for file in Path(folder).iterdir()
        if file.is_file() and os.access(file, os.R_OK)
    }


def _forms(value: str) -> set[str]:
    """The ways in which a secret may show up: as it is, in JSON (also within a text of JSON), in a URL, in base64; each line of
    it when it has several."""
    data = value.encode("utf-8", "surrogateescape")
    forms = {value, value.strip(), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    forms |= {quote(value, safe="", errors="surrogateescape"), quote_plus(value, errors="surrogateescape")}
    forms |= {json.dumps(form)[1:-1] for form in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])}
    forms |= {json.dumps(json.dumps(value, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1]}
    forms |= {quote(value, errors="surrogateescape")}
    for encoded in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        forms |= {encoded, encoded.rstrip("=")}
    forms |= _within_base64(data)
    # A key in PEM form is printed line by line by many tools; short lines are too common to be scrubbed.
    forms |= {line for line in value.splitlines() if len(line.strip()) >= 16}
    return forms


def _within_base64(data: bytes) -> set[str]:
    """What a secret becomes inside a longer text in base64 (`user:secret` of basic authentication): by how the bytes before it
    fall, one of three. Left out at both ends is the character that it shares with its neighbours."""
    if len(data) < SHORTEST_WITHIN:
        return set()
    forms: set[str] = set()
    for before in range(3):
        begin, end = -(-8 * before // 6), 8 * (before + len(data)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(b"\0" * before + data).decode()[begin:end])
    return forms


def _scrub(value: JSON, pattern: re.Pattern[str]) -> JSON:
    if isinstance(value, str):
        return pattern.sub(MASK, value)
    if isinstance(value, dict):
        return {pattern.sub(MASK, key): _scrub(item, pattern) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(item, pattern) for item in value]
    return value
