"""How a webhook proves who sent it. Pure: a secret, the headers, the raw body and the time in; the id of the delivery out.

standard      Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
github        https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
hmac-sha256   X-Signature-256: HMAC-SHA256 of the raw body in hexadecimal, `sha256=` before it allowed
none          nothing

A secret may hold several that are active at once, so that one can be replaced without losing a delivery: separated by blanks or
lines for `standard`, by lines for the others, whose secrets may be phrases.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping

TOLERANCE = 300.0  # seconds that the clock of a sender may be away from ours, either way

_PREFIX = "whsec_"
_SECONDS = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"(?:sha256=)?([0-9A-Fa-f]{64})")

Headers = Mapping[str, str]  # names in lower case, values as latin-1


class Refused(Exception):
    """The delivery does not prove where it comes from. The text says why, for the log: the sender does not learn it."""


class SecretFlaw(Exception):
    """The secret is none that this scheme can use, so that no delivery is accepted. The text does not show it."""


def delivery_id(scheme: str, secret: str, headers: Headers, body: bytes, now: float) -> str | None:
    """The id by which a delivery that comes twice is known; None when it has none. Raises Refused, SecretFlaw.

    `secret`: "" for the scheme none.  `now`: epoch seconds.
    """
    return _SCHEMES[scheme](secret, headers, body, now)


def _standard(secret: str, headers: Headers, body: bytes, now: float) -> str:
    keys = [_standard_key(text) for text in secret.split()]
    id_, sent, given = (_header(headers, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not _SECONDS.fullmatch(sent):
        raise Refused("its webhook-timestamp is no number of seconds")
    away = int(sent) - now
    if abs(away) > TOLERANCE:
        raise Refused(f"its webhook-timestamp is {abs(away):.0f} s {'ahead of' if away > 0 else 'behind'} the clock")
    signed = f"{id_}.{sent}.".encode("latin-1") + body
    versions = (part.partition(",") for part in given.split())
    _demand(
        (base64.b64encode(_hmac(key, signed)) for key in _some(keys)),
        [signature.encode("latin-1") for version, _, signature in versions if version == "v1"],
    )
    return id_


def _standard_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SecretFlaw(f"it is not base64 after {_PREFIX}, as Standard Webhooks have it") from None
    if not key:
        raise SecretFlaw("it is empty")
    return key


def _github(secret: str, headers: Headers, body: bytes, now: float) -> str:
    _demand_digest(secret, _header(headers, "x-hub-signature-256"), body)
    return headers.get("x-github-delivery") or digest(body)


def _hmac_sha256(secret: str, headers: Headers, body: bytes, now: float) -> str:
    _demand_digest(secret, _header(headers, "x-signature-256"), body)
    return headers.get("x-delivery-id") or digest(body)


def _none(secret: str, headers: Headers, body: bytes, now: float) -> str | None:
    return headers.get("x-delivery-id") or None


_SCHEMES: Mapping[str, Callable[[str, Headers, bytes, float], str | None]] = {
    "standard": _standard,
    "github": _github,
    "hmac-sha256": _hmac_sha256,
    "none": _none,
}


def _demand_digest(secret: str, given: str, body: bytes) -> None:
    keys = [line.strip().encode() for line in secret.splitlines() if line.strip()]
    match = _HEX.fullmatch(given.strip())
    _demand((_hmac(key, body).hex().encode() for key in _some(keys)), [match[1].lower().encode()] if match else [])


def _some(keys: list[bytes]) -> list[bytes]:
    """An empty secret would be one that everybody knows."""
    if not keys:
        raise SecretFlaw("it is empty")
    return keys


def _demand(expected: Iterable[bytes], given: list[bytes]) -> None:
    """Every pair is compared, each in constant time: how long it takes says nothing of how near a guess was."""
    fits = [hmac.compare_digest(right, one) for right in expected for one in given]
    if not any(fits):
        raise Refused("its signature does not fit")


def _header(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise Refused(f"it has no header {name}")
    return value


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def is_replayable(scheme: str) -> bool:
    """Whether the id of a delivery is not signed, so that its body could come again under another one."""
    return scheme in ("github", "hmac-sha256")


def digest(body: bytes) -> str:
    """What a delivery is known by when nothing but its body is signed."""
    return f"sha256-{hashlib.sha256(body).hexdigest()}"
