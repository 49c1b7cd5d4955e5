"""The bearer token of the HTTP interface: where it comes from, and whether a request carries it."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agentctl.errors import UsageError
from agentctl.ports import SERVE_TOKEN

CREDENTIAL = "agentctl-token"  # of systemd: a file in $CREDENTIALS_DIRECTORY

_CARRIED = re.compile(r"[\x21-\x7e]+")


class Token(msgspec.Struct, frozen=True):
    """`origin`: where it was found, for people.  `explicit`: somebody chose it; False: agentctl made it."""

    value: str
    origin: str
    explicit: bool

    def __repr__(self) -> str:
        return f"Token({self.origin})"

    def is_in(self, authorization: str | None) -> bool:
        """Whether a header `Authorization` carries the token. Compared in constant time."""
        scheme, _, given = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8"), self.value.encode("utf-8"))


def find(store: Path, environ: Mapping[str, str] = os.environ) -> Token:
    """The token of the environment, else of systemd's credentials, else of the file beside the store, made when it is not there.

    Raises UsageError for one that cannot be used.
    """
    value = environ.get(SERVE_TOKEN, "")
    if value:
        return _checked(Token(value, f"${SERVE_TOKEN}", explicit=True))
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder and (credential := Path(folder, CREDENTIAL)).exists():
        return _checked(Token(_read(credential), f"the credential {CREDENTIAL}", explicit=True))
    path = store.with_name(f"{store.name}.token")
    if not path.exists():
        _make(path)
    _demand_private(path)
    return _checked(Token(_read(path), str(path), explicit=False))


def _checked(token: Token) -> Token:
    if not _CARRIED.fullmatch(token.value):
        flaw = "is empty" if not token.value else "has characters that a header cannot carry"
        raise UsageError(f"the token of {token.origin} {flaw}; use letters, digits and signs without blanks")
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise UsageError(f"the token in {path} cannot be read: {error.strerror}") from None


def _demand_private(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:  # a link to nowhere
        raise UsageError(f"the token in {path} cannot be read: {error.strerror}; remove the file to have one made") from None
    if mode & 0o077:
        raise UsageError(f"others may read the token in {path}: run chmod 600 {path}, or remove the file to have a new one made")


def _make(path: Path) -> None:
    """Written aside and linked, so that it appears whole, and never replaces one that another process has just made."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{secrets.token_urlsafe(32)}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    except OSError as error:
        raise UsageError(f"no token can be made in {path}: {error.strerror}; set ${SERVE_TOKEN}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
