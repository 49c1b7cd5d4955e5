"""Text too large for a row: kept as a file named by its hash, with a short reference in the row.

A reference is `@` and the SHA-256 in hexadecimal. No JSON text begins with `@`, so a reference is never mistaken for a value.

A store may be moved, or restored elsewhere, with its files. So a text that begins with the path of their folder, such as `file`
of a large output, stands in a row as `"\\/payloads/HASH"`, and gets the folder of that moment when it is read. Nothing else is
mistaken for it: the encoder writes no `\\/`, and where it writes `\\\\/`, no quotation mark stands before the second backslash.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from mmap import mmap
from pathlib import Path

import msgspec

from agentctl import JSON
from agentctl.core.events import AnyEvent, decode, encode
from agentctl.errors import StoreCorrupt
from agentctl.store.db.failures import from_system
from agentctl.store.db.location import private_folder, sync_folder

LARGEST_TEXT = 1 << 20  # bytes that a column holds

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
        if _is_there(path):
            return digest, path
        aside = self.folder / f".{digest}.{os.urandom(4).hex()}"  # others may be keeping the same
        try:
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

    def json(self, value: JSON) -> str | None:
        """NULL for None."""
        return None if value is None else self.text(_encode_json(value))

    def read(self, text: str) -> str | bytes:
        """The inverse of `text`. Raises StoreCorrupt when the file is gone."""
        if not text.startswith("@"):
            return text.replace(_OURS_TEXT, self._here_text)
        path = self.folder / text[1:]
        try:
            return path.read_bytes().replace(_OURS, self._here)
        except OSError as error:
            raise StoreCorrupt(f"the store's file {path} is missing or unreadable; restore it from a backup") from error

    def read_event(self, text: str) -> AnyEvent:
        return decode(self.read(text))

    def read_json(self, text: str | None) -> JSON:
        return None if text is None else _decode_json(self.read(text))


def _is_there(path: Path) -> bool:
    """Also makes it young: nothing refers to the file before our commit does, and what is old and unreferenced is swept away."""
    try:
        os.utime(path)
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
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
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
