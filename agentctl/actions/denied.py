"""The transport of requests in a project with `policy: {http: {deny: [NETWORK, ...]}}`.

A name is looked up once, its addresses are checked, and the connection goes to one of these addresses: between the check and the
connection nothing is looked up again. TLS still asks for the certificate of the name. Proxies of the environment are not used,
because they would look the name up themselves.

Imported late: it needs httpx2.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpcore2
import httpx2

from agentctl.actions.walls import address_of
from agentctl.errors import ActionError

if TYPE_CHECKING:
    import ssl

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where a connection to "no address in particular" goes.
_UNSPECIFIED: dict[Address, Address] = {
    ipaddress.IPv4Address("0.0.0.0"): ipaddress.IPv4Address("127.0.0.1"),
    ipaddress.IPv6Address("::"): ipaddress.IPv6Address("::1"),
}


class DenyingTransport(httpx2.AsyncBaseTransport):
    """`deny`: networks such as 169.254.0.0/16, all valid. A request into one raises ActionError permission.denied, unsent.

    `deny_names`: networks that a name may not resolve to; an address may be called all the same.
    """

    def __init__(self, context: ssl.SSLContext, deny: Sequence[str], deny_names: Sequence[str] = ()) -> None:
        networks, named = ([ipaddress.ip_network(text, strict=False) for text in texts] for texts in (deny, deny_names))
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=context, network_backend=_CheckedNetwork(networks, named))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        assert isinstance(request.stream, AsyncIterable)  # as an AsyncClient makes it
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx2():
            answer = await self._pool.handle_async_request(sent)
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


class _CheckedNetwork(httpcore2.AnyIOBackend):
    def __init__(self, networks: Sequence[Network], named: Sequence[Network]) -> None:
        self._networks = networks
        self._named = named

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """`timeout`: seconds for all of it; each address gets its share, so that one that is silent leaves some to the next."""
        addresses = await _look_up(host, port, timeout)
        for address in addresses:
            self._check(host, address)
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await super().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await super().connect_tcp(addresses[-1], port, share, local_address, socket_options)

    def _check(self, host: str, address: str) -> None:
        network = denying(address, self._networks)
        if network is not None:
            what = host if host == address else f"{host} ({address})"
            message = f"No request is sent to {what}: `policy.http.deny` of agentctl.yaml denies {network}."
            raise ActionError("permission.denied", message, outcome="not_begun")
        if self._named and address_of(host) is None and denying(address, self._named) is not None:
            message = f"No request is sent to {host}: it resolves to {address}, and the tool may call no private addresses."
            raise ActionError("permission.denied", message, outcome="not_begun")


async def _look_up(host: str, port: int, timeout: float | None) -> list[str]:
    """The addresses of a host, in the order in which to try them; at least one."""
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(f"{host} could not be looked up in time") from error
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(str(error)) from error
    return list(dict.fromkeys(_text(where) for *_, where in found))


def _text(where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """The address of a socket address, with its zone (fe80::1%2) if it has one."""
    zone = where[3] if len(where) == 4 else 0
    return f"{where[0]}%{zone}" if zone and "%" not in str(where[0]) else str(where[0])


def denying(address: str, networks: Sequence[Network]) -> Network | None:
    """The first of the networks that contains the address, or an IPv4 address that it stands for (::ffff:127.0.0.1)."""
    forms = _forms(ipaddress.ip_address(address))
    return next((network for network in networks if any(form in network for form in forms)), None)


def _forms(address: Address) -> set[Address]:
    """An address and those that a connection to it may reach."""
    inner = {address} if isinstance(address, ipaddress.IPv4Address) else set(_embedded(address))
    forms = {address} | inner | {ipaddress.IPv6Address(f"::ffff:{one}") for one in inner}
    return forms | {_UNSPECIFIED[form] for form in forms if form in _UNSPECIFIED}


def _embedded(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for: mapped, compatible, 6to4, Teredo, and behind a NAT64 (RFC 6052)."""
    yield from filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())))
    data = address.packed
    if any(address in network for network in _LAST_32_BITS) and int(address) > 1:
        yield ipaddress.IPv4Address(data[12:])
    if address in _LOCAL_NAT64:  # the place depends on the length of the prefix that the network has chosen
        yield ipaddress.IPv4Address(data[6:8] + data[9:11])
        yield ipaddress.IPv4Address(data[7:8] + data[9:12])
        yield ipaddress.IPv4Address(data[9:13])


_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_LAST_32_BITS = (ipaddress.IPv6Network("64:ff9b::/96"), _LOCAL_NAT64, ipaddress.IPv6Network("::/96"))


@contextmanager
def _as_httpx2() -> Iterator[None]:
    """The errors of httpcore2 as those of httpx2, which has each under the same name."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.ProxyError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from error
