"""The walls of an agent's tools: what a model gives is checked here, before anything happens.

Each check raises ActionError permission.denied, which says which wall it was; the model reads it.
"""

from __future__ import annotations

import ipaddress
import os
import unicodedata
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

from agentctl import JSON
from agentctl.errors import ActionError
from agentctl.language.event_names import event_matches

if TYPE_CHECKING:
    import httpx2

_SCHEMES = {"http": 80, "https": 443}
# What a name may not resolve to: loopback, link-local, private and shared addresses, multicast, and none in particular.
PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    "::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)  # fmt: skip


def denied(message: str) -> NoReturn:
    raise ActionError("permission.denied", message, outcome="not_begun")


# --- arguments of programs ---------------------------------------------------------------------------------------------


def check_arguments(arguments: JSON, folder: Path, root: Path) -> list[str]:
    """The further arguments of a program. `folder`: where it runs.  `root`: the project's, which no path may lead out of."""
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        denied("the arguments are no list of texts")
    for argument in arguments:
        _check_argument(argument, folder, root)
    return arguments


def _check_argument(argument: str, folder: Path, root: Path) -> None:
    shown = repr(argument[:100])
    if argument.startswith("-"):
        denied(f"the argument {shown} begins with '-': a tool takes no options from the model")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in argument):
        denied(f"the argument {shown} contains a control character")
    _, equals, value = argument.partition("=")
    for path in [argument, value] if equals else [argument]:
        if leads_out(path, folder, root):
            denied(f"the argument {shown} leads out of the project")


def leads_out(path: str, folder: Path, root: Path) -> bool:
    """Whether a text, taken as a path, is absolute, or leaves the project by `..` or by a link."""
    if path.startswith("/"):
        return True
    base = os.path.realpath(root)
    written = os.path.normpath(os.path.join(os.path.realpath(folder), path))
    try:
        real = os.path.realpath(os.path.join(folder, path))
    except (OSError, ValueError):
        return True
    return not all(_is_within(place, base) for place in (written, real))


def _is_within(path: str, base: str) -> bool:
    return path == base or path.startswith(base.rstrip("/") + "/")


# --- requests ----------------------------------------------------------------------------------------------------------


def check_url(url: httpx2.URL, walls: dict[str, Any]) -> None:
    """A request, or where a redirect leads. `walls`: {hosts, paths, local}."""
    if url.scheme not in _SCHEMES:
        denied(f"'{url.scheme}' is neither http nor https")
    if url.userinfo:
        denied("the url has a user part")
    host = _canonical(url.host)
    port = url.port or _SCHEMES[url.scheme]
    usual = port if walls.get("any_port") else _SCHEMES[url.scheme]
    if not any(_is_listed(host, port, usual, entry) for entry in walls["hosts"]):
        denied(f"the host {host}{'' if url.port is None else f':{port}'} is not among those that the tool may call")
    if walls["paths"] == ["*"]:
        return
    path = _plain_path(url)
    if not any(fnmatchcase(path, pattern) for pattern in walls["paths"]):
        denied(f"the path {path[:200]} is not among those that the tool may call")


def denied_to_names(walls: dict[str, Any]) -> tuple[str, ...]:
    """The networks that a name may not resolve to."""
    return () if walls["local"] else PRIVATE


def _plain_path(url: httpx2.URL) -> str:
    """The path as a server reads it. One that could be read in two ways is refused."""
    path = unquote(url.raw_path.decode("ascii").partition("?")[0])
    if any(part in (".", "..") for part in path.replace("\\", "/").split("/")) or "%2" in path.lower() or "\\" in path:
        denied("the path contains `..`, `.` or a backslash")
    if any(unicodedata.category(character) == "Cc" for character in path):
        denied("the path contains a control character")
    return path


def _is_listed(host: str, port: int, usual: int, entry: str) -> bool:
    name, number = _split(entry)
    if port != (usual if number is None else number):
        return False
    if name.startswith("*."):
        return address_of(host) is None and host.endswith("." + _canonical(name[2:]))
    return host == _canonical(name)


def _split(entry: str) -> tuple[str, int | None]:
    """`h`, `h:port`, `[v6]:port`, and an IPv6 address by itself."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdigit() else None
    name, colon, port = entry.rpartition(":")
    return (name, int(port)) if colon and port.isdigit() and ":" not in name else (entry, None)


def _canonical(host: str) -> str:
    """A host as it is compared: an address in its usual form, a name in ASCII and lower case without the last dot."""
    address = address_of(host)
    if address is not None:
        return str(address)
    name = host.rstrip(".").lower()
    try:
        import idna

        return name if name.isascii() else idna.encode(name, uts46=True).decode()
    except ValueError:  # idna.IDNAError is one
        denied(f"{host!r} is no host")


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, in whatever notation the system's resolver takes: 127.1, 0x7f000001, 2130706433."""
    text = host.strip("[]").rstrip(".")
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return _loose_ipv4(text)
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _loose_ipv4(text: str) -> ipaddress.IPv4Address | None:
    import socket

    if not text or not all(part and part.lower().removeprefix("0x").isalnum() and part[0].isdigit() for part in text.split(".")):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


# --- events ------------------------------------------------------------------------------------------------------------


def check_event(name: JSON, walls: dict[str, Any]) -> None:
    if not isinstance(name, str) or not any(event_matches(pattern, name) for pattern in walls["events"]):
        denied(f"the event {name!r} is not among those that the tool may send: {', '.join(walls['events'])}")
