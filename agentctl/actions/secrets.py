"""Secrets: where they are read, and how their values are kept out of everything that is stored or shown.

All variables of the environment can be read as `secrets.X`, but most hold no secret (PATH, LANG), and replacing their values
everywhere would ruin every log. So scrubbed are: every value that was read through `read` in this process, every file of
systemd's credentials folder, and the values of the project's `.env` but for plain lower-case words and short numbers whose name
does not sound secret (`PORT=8080`, `DEBUG=true`). Values under four characters are never scrubbed. The secrets that a definition
names are read when a run of it is loaded, so that a value is scrubbed before the step that uses it has begun.
"""

from __future__ import annotations

import os
import re
import select
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agentctl import JSON
from agentctl.actions.masking import Masker, StreamMasker
from agentctl.errors import UsageError

FIFO_PATIENCE = 3.0  # seconds in which a program has to write to a `.env` that is a pipe
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
        self._masker: Masker | None = None  # of the values so far
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
        self.mask(known)

    def names(self) -> list[str]:
        return sorted({name for layer in self._layers for name in layer})

    def read(self, name: str) -> str:
        """The value; from now on it is masked. Raises KeyError when there is no secret of that name."""
        for layer in self._layers:
            if name in layer:
                self.mask([layer[name]])
                return layer[name]
        raise KeyError(name)

    def get(self, name: str) -> str | None:
        """The same; None when there is no secret of that name."""
        try:
            return self.read(name)
        except KeyError:
            return None

    def expect(self, names: Iterable[str]) -> list[str]:
        """Mask the values of these from now on, whoever reads them. Returns the names that are not set."""
        return [name for name in names if self.get(name) is None]

    def mask(self, values: Iterable[str]) -> None:
        """Mask these values from now on."""
        before = len(self._values)
        self._values.update(values)
        if len(self._values) > before:
            self._masker = None

    def scrub(self, value: JSON) -> JSON:
        """The same JSON value with each secret inside its strings (keys too), encoded or not, replaced by `***`."""
        return self._current.mask(value)

    def scrubber(self) -> StreamMasker:
        """For bytes that come in chunks. It knows the secrets as of now."""
        return self._current.stream()

    @property
    def _current(self) -> Masker:
        if self._masker is None:
            self._masker = Masker(self._values)
        return self._masker


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value` lines, `export` before them allowed, values quoted or not, `#` comments.

    Double quotes know backslash escapes (`\\n`, `\\"`); quoted values may span lines. Nothing is expanded. No file: no variables.
    Raises UsageError for what is no file, and for a pipe to which nobody writes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(kind):
            data = _read_pipe(descriptor, path)
        elif stat.S_ISREG(kind):
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
        else:
            raise UsageError(f"{path} is not a file, so no secret can be read from it")
    finally:
        os.close(descriptor)
    return dict(_assignments(data.decode("utf-8-sig", "replace")))


def _read_pipe(descriptor: int, path: Path) -> bytes:
    """All that is written to a pipe by a program that opens it within FIFO_PATIENCE."""
    data = bytearray()
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    while ready.poll(1000 * FIFO_PATIENCE):
        chunk = os.read(descriptor, 65_536)
        if not chunk:
            return bytes(data)
        data += chunk
    raise UsageError(f"{path} is a pipe, and no program writes to it: start the program that does, or remove it")


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
