"""`http`: one request.

Params: {method, url, headers, query, json, body, ok: [2xx], parse: auto|json|text|bytes, max_bytes: 10485760}.
Output: {status, headers, body}, header names in lower case.
Errors: http.status.NNN {status, headers, body}, http.connect, http.too_large, output.invalid, input.invalid, permission.denied.

GET and HEAD follow up to 10 redirects. To another origin go only headers that carry nothing confidential: not Authorization, not
Cookie, not a key in a header of the user's own naming. Cookies are never kept. Every step makes its own connection.

Messages name a URL as the step wrote it, and never quote a part of it: secrets are masked as whole values.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from agentctl import JSON, __version__
from agentctl.actions.causes import cause, was_not_made
from agentctl.actions.http_body import error_text, parsed
from agentctl.actions.streamed import Streamed, opened
from agentctl.actions.text import as_text
from agentctl.actions.walls import check_url, denied_to_names
from agentctl.errors import ActionError
from agentctl.expressions.duration import format_duration
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

if TYPE_CHECKING:
    import ssl

    import httpx2

REDIRECTS = 10
MAX_BYTES = 10 << 20
CONNECT_TIMEOUT = 30.0  # seconds
SILENCE_TIMEOUT = 300.0  # seconds without a byte, of a step that has no `timeout`; with one, that alone says how long to wait

_TLS_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")

# Headers that go along to another origin.
PUBLIC = {"accept", "accept-encoding", "accept-language", "user-agent", "range", "if-none-match", "if-modified-since"}


class HttpAction:
    def __init__(self, deny: Sequence[str] = ()) -> None:
        """`deny`: networks that no request may reach, by whatever name: `policy.http.deny` of the project."""
        self.deny = deny

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        params = call.params
        url = str(params.get("url"))
        context = await asyncio.to_thread(_tls)  # also imports httpx2: both take tens of milliseconds, once
        import h11
        import httpx2

        try:
            async with self._client(context, call) as client:
                with opened(params.get("body"), around) as body:
                    response = await _send(client, _request(client, call, body), _walls(params))
                try:
                    return Outcome(await _answer(response, call, around))
                finally:
                    await response.aclose()
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, h11.LocalProtocolError) as error:
            raise ActionError("input.invalid", f"The request to {url} cannot be made: {_flaw(error)}.") from None
        except (httpx2.RequestError, httpx2.StreamError, OSError, OverflowError, ExceptionGroup) as error:
            why = cause(error, without="All connection attempts failed")
            if isinstance(error, httpx2.ReadTimeout):
                why = f"nothing came for {format_duration(SILENCE_TIMEOUT)}; a `timeout` of the step says how long to wait"
            if isinstance(error, httpx2.ProxyError):
                why = f"{why}; {_proxies()}"
            unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) or was_not_made(error)
            data = {"sent": False} if unsent else None  # what was never sent cannot have taken effect
            raise ActionError("http.connect", f"No answer from {url}: {why}.", data) from None

    def _client(self, context: ssl.SSLContext, call: Call) -> httpx2.AsyncClient:
        """Raises http.connect for a proxy that cannot be used."""
        import httpx2

        silence = SILENCE_TIMEOUT if call.timeout is None else None
        timeout = httpx2.Timeout(silence, connect=CONNECT_TIMEOUT)
        try:
            transport = self._transport(context, call.params.get("walls"))
            return httpx2.AsyncClient(verify=context, timeout=timeout, transport=transport)
        except (ValueError, httpx2.InvalidURL):
            why = f"a proxy cannot be used: it takes http://, https:// or socks5:// and a port up to 65535; {_proxies()}"
            raise ActionError("http.connect", f"No answer from {call.params.get('url')}: {why}.", {"sent": False}) from None

    def _transport(self, context: ssl.SSLContext, walls: dict[str, Any] | None) -> httpx2.AsyncBaseTransport | None:
        """None: httpx2's own."""
        if not self.deny and walls is None:
            return None
        from agentctl.actions.denied import DenyingTransport

        return DenyingTransport(context, self.deny, () if walls is None else denied_to_names(walls))


def make(context: ActionContext) -> HttpAction:
    deny = (context.policy.get("http") or {}).get("deny") or []
    return HttpAction([deny] if isinstance(deny, str) else deny)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Raises http.connect when the environment names certificates that cannot be used."""
    import httpx2

    try:
        return httpx2.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        named = [f"${name} is {os.environ[name]}" for name in _TLS_VARIABLES if os.environ.get(name)]
        why = f"{error.strerror or error} ({', '.join(named)})" if named else str(error)
        raise ActionError("http.connect", f"TLS cannot be set up: {why}.", {"sent": False}) from None


def _proxies() -> str:
    """Where the proxies come from; their URLs may contain passwords."""
    named = [name for name in os.environ if name.lower() in _PROXY_VARIABLES]
    return f"see {', '.join(f'${name}' for name in sorted(named))}" if named else "none is set in the environment"


def _flaw(error: Exception) -> str:
    """What is wrong with a request, without the part of the URL or the header that a library quotes."""
    text = " ".join(str(error).split())
    if text.startswith(("Illegal header", "illegal header")):
        return f"a header has a {'name' if 'name' in text else 'value'} with characters that cannot be sent"
    return re.split(r"[:,]? b?['\"]", text, maxsplit=1)[0].rstrip(".:")


def _request(client: httpx2.AsyncClient, call: Call, body: Streamed | None) -> httpx2.Request:
    """`body`: of `params`, when it is a large output."""
    import httpx2

    params = call.params
    headers = {name: as_text(value) for name, value in (params.get("headers") or {}).items() if value is not None}
    named = {name.lower() for name in headers}
    if "idempotency-key" not in named:
        headers["Idempotency-Key"] = call.idempotency_key
    if "user-agent" not in named:
        headers["User-Agent"] = f"agentctl/{__version__}"
    content: str | AsyncIterator[bytes] | None = None
    if body is not None:
        content = body.chunks()
        headers["Content-Length"] = str(body.size)
    elif params.get("json") is not None:
        content = msgspec.json.encode(params["json"]).decode()
        if "content-type" not in named:
            headers["Content-Type"] = "application/json"
    elif params.get("body") is not None:
        content = as_text(params["body"])
    url = httpx2.URL(str(params["url"]))
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx2.UnsupportedProtocol("expected a url that begins with http:// or https://")
    if url.port is not None and not 0 < url.port < 65_536:
        raise httpx2.InvalidURL("its port is not one from 1 to 65535")
    if params.get("query"):
        url = url.copy_merge_params(tuple(_query(params["query"])))
    try:
        return client.build_request(str(params.get("method") or "GET").upper(), url, headers=headers, content=content)
    except UnicodeEncodeError:
        raise ActionError("input.invalid", "A header contains a character that headers cannot carry.") from None


def _query(query: dict[str, JSON]) -> list[tuple[str, str]]:
    """A list gives its name once for each element; null leaves the name out."""
    pairs = [(name, item) for name, value in query.items() for item in (value if isinstance(value, list) else [value])]
    return [(name, as_text(item)) for name, item in pairs if item is not None]


def _walls(params: JSON) -> list[dict[str, JSON]]:
    """Those of a tool, and the hosts that the definitions may call: they hold for redirects as well."""
    own = [params["walls"]] if "walls" in params else []
    return own + [{"hosts": hosts, "paths": ["*"], "any_port": True} for hosts in params.get("allowed_hosts", ())]


async def _send(client: httpx2.AsyncClient, request: httpx2.Request, walls: list[dict[str, JSON]]) -> httpx2.Response:
    """The answer, its body not yet read; redirects of GET and HEAD followed. `walls`: of a tool, for each request of them."""
    for _ in range(REDIRECTS):
        for wall in walls:
            check_url(request.url, wall)
        response = await client.send(request, stream=True, follow_redirects=False)
        onward = response.next_request
        if request.method not in ("GET", "HEAD") or onward is None:
            return response
        await response.aclose()
        client.cookies.clear()
        if onward.url.origin != request.url.origin:
            for name in set(onward.headers) - PUBLIC - {"host"}:
                del onward.headers[name]
        request = onward
    for wall in walls:
        check_url(request.url, wall)
    return await client.send(request, stream=True, follow_redirects=False)


async def _answer(response: httpx2.Response, call: Call, around: Surroundings) -> JSON:
    params, status = call.params, response.status_code
    headers = {name.lower(): value for name, value in response.headers.items()}
    ok = params.get("ok") or ["2xx"]
    if not any(matches(status, pattern) for pattern in (ok if isinstance(ok, list) else [ok])):
        body = await error_text(response, around)
        shown = " ".join(body.split())[:200]
        message = f"{response.request.method} {params['url']} answered {status} {response.reason_phrase}".rstrip()
        raise ActionError(
            f"http.status.{status}",
            message + (f": {shown}" if shown else "."),
            {"status": status, "headers": headers, "body": body},
            retry_after=retry_after(headers, time.time()),
            # A gateway answers for a server that may have done its work.
            outcome="unknown" if status in (502, 503, 504) else "answered",
        )
    limit = params.get("max_bytes", MAX_BYTES)
    body = await parsed(response, params.get("parse") or "auto", limit, around, str(params["url"]))
    return {"status": status, "headers": headers, "body": body}


def matches(status: int, pattern: JSON) -> bool:
    """`200`, `"200"`, `"2xx"`; x stands for any digit."""
    return re.fullmatch(str(pattern).lower().replace("x", "[0-9]"), str(status)) is not None


def retry_after(headers: dict[str, str], now: float) -> float | None:
    """Seconds that the server asks us to wait: a number, or a date, taken relative to the server's own clock (`Date`)."""
    wanted = headers.get("retry-after", "").strip()
    if wanted.isascii() and wanted.isdigit():
        return float(wanted)
    due = _http_date(wanted)
    return None if due is None else max(0.0, due - (_http_date(headers.get("date", "")) or now))


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None
