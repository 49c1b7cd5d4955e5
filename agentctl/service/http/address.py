"""Where the HTTP interface listens: `127.0.0.1:8420`, `localhost:0`, `[::1]:8420`."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket

import msgspec

from agentctl.errors import AddressUnavailable, UsageError

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|(?P<host>[^\[\]:\s]+)):(?P<port>[0-9]{1,5})")
_BACKLOG = 128  # connections that the kernel accepts on our behalf while we are busy


class Address(msgspec.Struct, frozen=True):
    """`text`: as written, for messages.  `port` 0: any that is free."""

    text: str
    host: str
    port: int


def parse(text: str) -> Address:
    """Raises UsageError."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65_535:
        raise UsageError(f"--listen takes HOST:PORT, such as 127.0.0.1:8420 or [::1]:8420, not {text!r}")
    return Address(text.strip(), match["six"] or match["host"], int(match["port"]))


def bind(address: Address, *, only_loopback: bool) -> socket.socket:
    """A socket that listens. Raises UsageError: no such name, off loopback with `only_loopback`, not for this user.

    Raises AddressUnavailable for what may pass, at boot above all: the port is in use, the network is not up yet.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise UsageError(f"--listen {address.text!a}: there is no such address (it is no name of a host)") from None
    except OSError as error:
        kind_of = AddressUnavailable if error.errno == socket.EAI_AGAIN else UsageError
        raise kind_of(f"--listen {address.text}: there is no such address ({error.strerror})") from None
    family, kind, protocol, _, where = found[0]
    if only_loopback and not ipaddress.ip_address(str(where[0]).partition("%")[0]).is_loopback:
        raise UsageError(
            f"--listen {address.text} can be reached from other machines: first choose a token of your own, in $AGENTCTL_TOKEN"
            " or as systemd's credential agentctl-token"
        )
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections to expire
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # `[::]` says nothing about IPv4
        listening.bind(where)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        kind_of = AddressUnavailable if error.errno in _PASSING else UsageError
        raise kind_of(f"--listen {address.text}: {_FLAWS.get(error.errno or 0, error.strerror)}") from None
    listening.setblocking(False)
    return listening


_FLAWS = {
    errno.EADDRINUSE: "the port is in use by another program",
    errno.EACCES: "this user may not use the port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}
_PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)


def url(listening: socket.socket) -> str:
    """`http://127.0.0.1:8420`, with the port that it has."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if listening.family == socket.AF_INET6 else f"http://{host}:{port}"
