"""Text too large for a row: kept as a file named by its hash, with a short reference in the row.

A reference is `@` and the SHA-256 in hexadecimal. No JSON text begins with `@`, so a reference is never mistaken for a value.

An output of over a kilobyte stands once in `outputs`, whatever repeats it: the end of the step, the end of the run, its row. Such
a text begins with `#` and a digest; of an event, the JSON without the output follows.

A store may be moved, or restored elsewhere, with its files. So a text that begins with the path of their folder, such as `file`
of a large output, stands in a row as `"\\/payloads/HASH"`, and gets the folder of that moment when it is read. Nothing else is
mistaken for it: the encoder writes no `\\/`, and where it writes `\\\\/`, no quotation mark stands before the second backslash.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Mapping
from mmap import mmap
from pathlib import Path

import msgspec
from msgspec import structs

from agentctl import JSON
from agentctl.core.events import AnyEvent, decode, encode
from agentctl.errors import PayloadUnreadable
from agentctl.store.db.failures import from_system
from agentctl.store.db.files import is_regular, open_descriptor, open_file, private_folder, sync_folder

LARGEST_TEXT = 1 << 20  # bytes that a column holds
SHARED = 1 << 10  # bytes; a longer output stands once for each run
_DIGEST = 32  # hexadecimal digits

# Of a row of `runs`, the text of its output.
OUTPUT = """
CASE WHEN output LIKE '#%' THEN (SELECT value FROM outputs o WHERE o.run = runs.key AND o.digest = substr(output, 2))
    ELSE output END
"""

_OURS = b'"\\/payloads/'
_OURS_TEXT = _OURS.decode()

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class Payloads:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._here = _encode_json(f"{folder}/")[:-1]  # how a text of JSON begins that is the path of a file in it
        self._here_text = self._here.decode()

    def keep(self, data: bytes | mmap, descriptor: int | None = None) -> tuple[str, Path]:
        """Store `data`, durably; returns its hash and its file. Raises StoreError when that is impossible.

        `descriptor`: of a nameless file that holds the same, to be named instead of copied where the system can.

        The file appears under its name only when whole: written aside, flushed, renamed, and the folder flushed.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / digest
        aside = self.folder / f".{digest}.{os.urandom(4).hex()}"  # others may be keeping the same
        try:
            if _is_there(path):
                return digest, path
            if private_folder(self.folder):
                sync_folder(self.folder.parent)
            if descriptor is None or not _linked(descriptor, aside):
                _write_durably(aside, data)
            aside.rename(path)
            sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise from_system(error, path) from error
        return digest, path

    def text(self, data: bytes) -> str:
        """What stands in the row for `data`, which is JSON."""
        data = data.replace(self._here, _OURS)
        if len(data) <= LARGEST_TEXT:
            return data.decode()
        return "@" + self.keep(data)[0]

    def event(self, event: AnyEvent) -> str:
        return self.text(encode(event))

    def sharing(self) -> Sharing:
        return Sharing(self)

    def json(self, value: JSON) -> str | None:
        """NULL for None."""
        return None if value is None else self.text(_encode_json(value))

    def read(self, text: str) -> str | bytes:
        """The inverse of `text`; of an event whose output is shared, the rest. Raises PayloadUnreadable."""
        if text.startswith("#"):
            text = text[1 + _DIGEST :]
        if not text.startswith("@"):
            return text.replace(_OURS_TEXT, self._here_text)
        path = self.folder / text[1:]
        try:
            return self._read_file(path).replace(_OURS, self._here)
        except OSError as error:
            why = error.strerror or str(error)
            message = f"the store's file {path} is missing or unreadable ({why}); restore it from a backup"
            raise PayloadUnreadable(message) from error

    def _read_file(self, path: Path) -> bytes:
        with open_file(path) as file:
            return file.read()

    def read_event(self, text: str, outputs: Mapping[str, str] | None = None, *, lenient: bool = False) -> AnyEvent:
        """`outputs`: the shared ones of the run, by digest; None: they are not wanted. Raises PayloadUnreadable.

        `lenient`: a note replaces an output that cannot be read.
        """
        event = decode(self.read(text))
        if not text.startswith("#") or outputs is None:
            return event
        try:
            output = self.read_json(outputs[digest_of(text)])
        except PayloadUnreadable as error:
            if not lenient:
                raise
            output = {"unreadable": str(error)}
        return structs.replace(event, output=output)

    def read_json(self, text: str | None) -> JSON:
        return None if text is None else _decode_json(self.read(text))


def digest_of(text: str) -> str:
    """Of a text that begins with `#`."""
    return text[1 : 1 + _DIGEST]


class Sharing:
    """Put what one commit of a run writes into texts that share their outputs. `outputs`: (digest, text), to be written too."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self._known: dict[int, str] = {}  # id of an output -> "#DIGEST"; all live as long as this does
        self.outputs: list[tuple[str, str]] = []

    def event(self, event: AnyEvent) -> str:
        data = encode(event)
        output = getattr(event, "output", None) if len(data) > SHARED else None
        mark = None if output is None else self._mark(output)
        return self._payloads.text(data) if mark is None else mark + self._payloads.event(structs.replace(event, output=None))

    def output(self, value: JSON) -> str | None:
        return None if value is None else self._mark(value) or self._payloads.json(value)

    def _mark(self, value: JSON) -> str | None:
        """None: it is short."""
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < SHARED // 4):
            return None
        mark = self._known.get(id(value))
        if mark is None:
            data = _encode_json(value)
            if len(data) <= SHARED:
                return None
            digest = hashlib.sha256(data).hexdigest()[:_DIGEST]
            mark = self._known[id(value)] = f"#{digest}"
            if all(digest != known for known, _ in self.outputs):
                self.outputs.append((digest, self._payloads.text(data)))
        return mark


def _is_there(path: Path) -> bool:
    """Also makes it young: nothing refers to the file before our commit does, and what is old and unreferenced is swept away."""
    if not is_regular(path):
        return False  # whatever else is there gives way to the file
    try:
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _linked(descriptor: int, path: Path) -> bool:
    """Give a nameless file (O_TMPFILE) a name, once it is on the disk. False: it has to be copied."""
    os.fsync(descriptor)
    try:
        os.link(f"/proc/self/fd/{descriptor}", path, follow_symlinks=True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP):
            return False
        raise
    return True


def _write_durably(path: Path, data: bytes | mmap) -> None:
    descriptor = open_descriptor(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        os.fchmod(descriptor, 0o600)
        written = 0
        with memoryview(data) as view:
            while written < len(view):
                # A slice that is let go at once: a memory map cannot be closed while a view of it is about.
                with view[written:] as rest:
                    written += os.write(descriptor, rest)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
