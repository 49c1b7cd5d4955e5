"""`http`: one request.

Params: {method, url, headers, query, json, body, ok: [2xx], parse: auto|json|text, max_bytes: 10485760}.
Output: {status, headers, body}, header names in lower case.
Errors: http.status.NNN {status, headers, body}, http.connect, http.too_large, output.invalid, input.invalid, permission.denied.

GET and HEAD follow up to 10 redirects. To another origin go only headers that carry nothing confidential: not Authorization, not
Cookie, not a key in a header of the user's own naming. Cookies are never kept. Every step makes its own connection.
"""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from agentctl import JSON, __version__
from agentctl.actions.text import as_text, read_json
from agentctl.errors import ActionError
from agentctl.expressions.duration import format_duration
from agentctl.ports import ActionContext, Call, Outcome, Surroundings

if TYPE_CHECKING:
    import ssl

    import httpx2

REDIRECTS = 10
MAX_BYTES = 10 << 20
ERROR_BODY = 4096  # bytes of the body that an error keeps
CONNECT_TIMEOUT = 30.0  # seconds
SILENCE_TIMEOUT = 300.0  # seconds without a byte, of a step that has no `timeout`; with one, that alone says how long to wait

# Headers that go along to another origin.
PUBLIC = {"accept", "accept-encoding", "accept-language", "user-agent", "range", "if-none-match", "if-modified-since"}


class HttpAction:
    instant = False

    def __init__(self, deny: Sequence[str] = ()) -> None:
        """`deny`: networks that no request may reach, by whatever name: `policy.http.deny` of the project."""
        self.deny = deny

    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        params = call.params
        limit = params.get("max_bytes", MAX_BYTES)
        ok = params.get("ok") or ["2xx"]
        context = await asyncio.to_thread(_tls)  # also imports httpx2: both take tens of milliseconds, once
        import httpx2

        silence = SILENCE_TIMEOUT if call.timeout is None else None
        timeout = httpx2.Timeout(silence, connect=CONNECT_TIMEOUT)
        try:
            async with httpx2.AsyncClient(verify=context, timeout=timeout, transport=self._transport(context)) as client:
                response = await _send(client, _request(client, call))
                try:
                    return Outcome(
                        await _answer(response, ok if isinstance(ok, list) else [ok], params.get("parse") or "auto", limit)
                    )
                finally:
                    await response.aclose()
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            said = str(error).rstrip(".")
            raise ActionError("input.invalid", f"The request to {params.get('url')!r} cannot be made: {said}.") from None
        except (httpx2.RequestError, httpx2.StreamError) as error:
            said = str(error).rstrip(".") or type(error).__name__
            if isinstance(error, httpx2.ReadTimeout):
                said = f"nothing came for {format_duration(SILENCE_TIMEOUT)}; a `timeout` of the step says how long to wait"
            unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            data = {"sent": False} if unsent else None  # what was never sent cannot have taken effect
            raise ActionError("http.connect", f"No answer from {params.get('url')}: {said}.", data) from None

    def _transport(self, context: ssl.SSLContext) -> httpx2.AsyncBaseTransport | None:
        """None: httpx2's own."""
        if not self.deny:
            return None
        from agentctl.actions.denied import DenyingTransport

        return DenyingTransport(context, self.deny)


def make(context: ActionContext) -> HttpAction:
    deny = (context.policy.get("http") or {}).get("deny") or []
    return HttpAction([deny] if isinstance(deny, str) else deny)


@functools.cache
def _tls() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


def _request(client: httpx2.AsyncClient, call: Call) -> httpx2.Request:
    import httpx2

    params = call.params
    headers = {name: as_text(value) for name, value in (params.get("headers") or {}).items() if value is not None}
    named = {name.lower() for name in headers}
    if "idempotency-key" not in named:
        headers["Idempotency-Key"] = call.idempotency_key
    if "user-agent" not in named:
        headers["User-Agent"] = f"agentctl/{__version__}"
    content: str | None = None
    if params.get("json") is not None:
        content = msgspec.json.encode(params["json"]).decode()
        if "content-type" not in named:
            headers["Content-Type"] = "application/json"
    elif params.get("body") is not None:
        content = as_text(params["body"])
    url = httpx2.URL(str(params["url"]))
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx2.UnsupportedProtocol("expected a url that begins with http:// or https://")
    if params.get("query"):
        url = url.copy_merge_params(tuple(_query(params["query"])))
    try:
        return client.build_request(str(params.get("method") or "GET").upper(), url, headers=headers, content=content)
    except UnicodeEncodeError as error:
        raise ActionError("input.invalid", f"A header holds a character that headers cannot carry: {error}.") from None


def _query(query: dict[str, JSON]) -> list[tuple[str, str]]:
    """A list gives its name once for each element; null leaves the name out."""
    pairs = [(name, item) for name, value in query.items() for item in (value if isinstance(value, list) else [value])]
    return [(name, as_text(item)) for name, item in pairs if item is not None]


async def _send(client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """The answer, its body not yet read; redirects of GET and HEAD followed."""
    for _ in range(REDIRECTS):
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
    return await client.send(request, stream=True, follow_redirects=False)


async def _answer(response: httpx2.Response, ok: list[JSON], parse: str, limit: int) -> JSON:
    status = response.status_code
    headers = {name.lower(): value for name, value in response.headers.items()}
    if not any(matches(status, pattern) for pattern in ok):
        body = (await _read(response, ERROR_BODY)).decode("utf-8", "replace")
        said = " ".join(body.split())[:200]
        message = f"{response.request.method} {response.request.url} answered {status} {response.reason_phrase}".rstrip()
        raise ActionError(
            f"http.status.{status}",
            message + (f": {said}" if said else "."),
            {"status": status, "headers": headers, "body": body},
            retry_after=retry_after(headers, time.time()),
        )
    data = await _read(response, limit + 1)
    if len(data) > limit:
        raise ActionError("http.too_large", f"The answer of {response.request.url} is over {limit} bytes (`max_bytes`).")
    return {"status": status, "headers": headers, "body": _parse(data, parse, response)}


async def _read(response: httpx2.Response, limit: int) -> bytes:
    """The first `limit` bytes of the body; no more is taken from the network than the chunk that holds the last of them."""
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) >= limit:
            break
    return bytes(data[:limit])


def _parse(data: bytes, how: str, response: httpx2.Response) -> JSON:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if how == "json" or (how == "auto" and (kind == "application/json" or kind.endswith("+json"))):
        if not data and how == "auto":
            return None
        try:
            return read_json(data)
        except ValueError as error:
            raise ActionError("output.invalid", f"The answer of {response.request.url} is no JSON: {error}.") from None
    try:
        return data.decode(response.charset_encoding or "utf-8", "replace")
    except LookupError:  # a charset that Python does not know
        return data.decode("utf-8", "replace")


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
