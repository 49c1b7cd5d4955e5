from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions import http as http_action
from agentctl.actions.http import HttpAction, retry_after
from agentctl.errors import ActionError
from agentctl.performing.keeping import kept, once
from agentctl.ports import Call

Make = Callable[..., Call]


def run(call: Call, around: Any) -> Any:
    async def performed() -> Any:
        return await kept(await HttpAction().perform(call, around), around, once)

    return asyncio.run(performed())


def failure(call: Call, around: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        run(call, around)
    return caught.value


def test_json_answers_are_parsed_and_header_names_are_lower_case(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "application/json", "X-Seen": "Yes"}, b'{"a": 1}')
    output = run(call(url=server.url), around)
    assert (output["status"], output["body"], output["headers"]["x-seen"]) == (200, {"a": 1}, "Yes")


def test_other_answers_are_text_and_parse_decides(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "text/plain"}, '{"a": "é"}'.encode())
    assert run(call(url=server.url), around)["body"] == '{"a": "é"}'
    assert run(call(url=server.url, parse="json"), around)["body"] == {"a": "é"}


PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"Content-Type": "image/png"}, PNG),
        ({"Content-Type": "text/plain"}, b"caf\xe9"),
        ({"Content-Type": "application/json"}, b'{"a": "\xff"}'),
        ({"Content-Type": "text/plain; charset=idna"}, "é".encode()),
        ({"Content-Type": "text/plain; charset=hex"}, "é".encode()),
        ({"Content-Type": "text/plain; charset=nonesuch"}, "é".encode()),
        ({"Content-Type": "text/plain", "Content-Encoding": "br"}, b"\x0b\x03\x80{}\x03"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, b"not packed"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(b"x" * 5000, mtime=0)[:-12]),
    ],
)
def test_what_cannot_be_decoded_is_no_output(call: Make, around: Any, server: Any, headers: dict[str, str], data: bytes) -> None:
    server.answer = lambda request: (200, headers, data)
    error = failure(call(url=server.url), around)
    assert error.type == "output.invalid"
    assert server.url in error.message


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"Content-Type": "application/json; charset=iso-8859-1"}, '{"a": "é"}'.encode("latin-1")),
        ({"Content-Type": "application/json; charset=utf-16"}, '{"a": "é"}'.encode("utf-16")),
        ({"Content-Type": "application/json"}, '{"a": "é"}'.encode("utf-16")),
        ({"Content-Type": "application/json"}, '{"a": "é"}'.encode("utf-8-sig")),
        ({"Content-Type": "application/json", "Content-Encoding": "x-gzip"}, gzip.compress('{"a": "é"}'.encode(), mtime=0)),
        ({"Content-Type": "application/json", "Content-Encoding": "GZIP"}, gzip.compress('{"a": "é"}'.encode(), mtime=0)),
        ({"Content-Type": "application/json", "Content-Encoding": "deflate"}, zlib.compress('{"a": "é"}'.encode())),
        ({"Content-Type": "application/json", "Content-Encoding": "deflate"}, zlib.compress('{"a": "é"}'.encode())[2:-4]),
        ({"Content-Type": "application/json", "Content-Encoding": "none"}, '{"a": "é"}'.encode()),
    ],
)
def test_charset_packing_and_byte_order_mark_are_honoured(
    call: Make, around: Any, server: Any, headers: dict[str, str], data: bytes
) -> None:
    server.answer = lambda request: (200, headers, data)
    assert run(call(url=server.url), around)["body"] == {"a": "é"}


def test_any_body_can_be_kept_as_a_file(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "image/png"}, PNG)
    body = run(call(url=server.url, parse="bytes"), around)["body"]
    assert Path(body["file"]).read_bytes() == PNG
    assert body["bytes"] == len(PNG)
    server.answer = lambda request: (200, {"Content-Encoding": "gzip"}, gzip.compress(b"\0" * 20_000_000, mtime=0))
    assert failure(call(url=server.url, parse="bytes"), around).type == "http.too_large"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_error_leaves_the_outcome_unknown(call: Make, around: Any, server: Any, status: int) -> None:
    server.answer = lambda request: (status, {}, b"")
    assert failure(call(url=server.url), around).outcome == "unknown"
    server.answer = lambda request: (500, {}, b"")
    assert failure(call(url=server.url), around).outcome == "answered"


def test_a_secret_at_the_end_of_what_an_error_keeps_is_masked_as_a_whole(
    call: Make, make_around: Callable[..., Any], server: Any
) -> None:
    around = make_around({"KEY": "s3cret-value-0123"})
    around.secrets.read("KEY")
    for length in range(4070, 4100):
        server.answer = lambda request, length=length: (400, {}, b"x" * length + b"s3cret-value-0123" * 50)
        error = failure(call(url=server.url), around)
        assert error.data is not None
        assert set(error.data["body"]) <= set("x*")
    server.answer = lambda request: (400, {}, b"s3cret-value-0123" * 5000)
    error = failure(call(url=server.url), around)
    assert error.data is not None
    assert set(error.data["body"]) == {"*"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:pa/ss@host/", "port"),
        ("http://127.0.0.1:99999/", "port"),
        ("http://[::zz]/", "IPv6"),
        ("ftp://host/", "http:// or https://"),
    ],
)
def test_a_url_that_cannot_be_requested_is_named_as_it_was_written(call: Make, around: Any, url: str, words: str) -> None:
    error = failure(call(url=url), around)
    assert error.type == "input.invalid"
    assert words in error.message
    assert error.message.count(url) == 1
    assert "'" not in error.message.replace(url, "")


def test_a_header_that_cannot_be_sent_is_not_quoted(call: Make, around: Any, server: Any) -> None:
    error = failure(call(url=server.url, headers={"Authorization": "Bearer s3cret\n"}), around)
    assert error.type == "input.invalid"
    assert "s3cret" not in error.message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTP_PROXY", "ftp://user:hidden@x", "$HTTP_PROXY"),
        ("HTTP_PROXY", "http://127.0.0.1:99999", "a port is out of range"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", "refused"),
        ("SSL_CERT_FILE", "/nonexistent", "$SSL_CERT_FILE is /nonexistent"),
    ],
)
def test_what_is_wrong_with_the_environment_is_named(
    call: Make, around: Any, server: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setattr("agentctl.actions.http._tls", http_action._tls.__wrapped__)  # made again, as in a process of its own
    monkeypatch.setenv(name, value)
    error = failure(call(url=server.url), around)
    assert error.type == "http.connect"
    assert words in error.message
    assert "hidden" not in error.message
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if name == "ALL_PROXY":
        assert run(call(url=server.url), around)["status"] == 200


def test_a_request_carries_method_query_headers_body_and_the_steps_key(call: Make, around: Any, server: Any) -> None:
    run(
        call(method="post", url=server.url + "/x?a=1", query={"b": [2, 3], "c": None}, headers={"X-N": 5}, json={"k": "v"}),
        around,
    )
    request = server.requests[0]
    assert (request["method"], request["path"]) == ("POST", "/x?a=1&b=2&b=3")
    assert json.loads(request["body"]) == {"k": "v"}
    assert request["headers"]["x-n"] == "5"
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["idempotency-key"] == "run/probe"


def test_the_users_own_idempotency_key_stands(call: Make, around: Any, server: Any) -> None:
    run(call(url=server.url, headers={"idempotency-key": "mine"}, body="text"), around)
    assert server.requests[0]["headers"]["idempotency-key"] == "mine"
    assert server.requests[0]["body"] == b"text"


def test_an_answer_outside_ok_is_an_error_with_its_body(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (503, {"Retry-After": "7"}, b"busy " * 2000)
    error = failure(call(url=server.url), around)
    assert error.type == "http.status.503"
    assert error.retry_after == 7
    assert error.data is not None
    assert len(error.data["body"]) == 4096
    assert run(call(url=server.url, ok=["2xx", 503]), around)["status"] == 503


def test_retry_after_as_a_date_counts_from_the_servers_clock() -> None:
    headers = {"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}
    assert retry_after(headers, now=0) == 30
    assert retry_after({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT"}, now=1795428025) == 5
    assert retry_after({"retry-after": "soon"}, now=0) is None


def test_redirects_are_followed_for_get_only(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (302, {"Location": "/there"}, b"") if request["path"] == "/" else (200, {}, b"there")
    assert run(call(url=server.url + "/"), around)["body"] == "there"
    assert failure(call(method="POST", url=server.url + "/"), around).type == "http.status.302"


def test_redirects_without_end_stop(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (302, {"Location": "/again"}, b"")
    assert failure(call(url=server.url), around).type == "http.status.302"
    assert len(server.requests) == 11


def test_nothing_confidential_follows_to_another_origin(call: Make, around: Any, make_server: Callable[[], Any]) -> None:
    first, second = make_server(), make_server()
    first.answer = lambda request: (302, {"Location": second.url, "Set-Cookie": "session=abc"}, b"")
    headers = {"Authorization": "Bearer x", "Cookie": "c=1", "X-Api-Key": "k", "Accept": "text/plain"}
    run(call(url=first.url, headers=headers), around)
    assert first.requests[0]["headers"]["x-api-key"] == "k"
    arrived = second.requests[0]["headers"]
    assert not {"authorization", "cookie", "x-api-key", "idempotency-key"} & set(arrived)
    assert arrived["accept"] == "text/plain"


def test_a_body_over_max_bytes_is_refused(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {}, b"x" * 3000)
    assert failure(call(url=server.url, max_bytes=2048), around).type == "http.too_large"
    assert len(run(call(url=server.url, max_bytes=3000), around)["body"]) == 3000


def test_json_that_is_none_is_invalid(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "application/problem+json"}, b"{")
    assert failure(call(url=server.url), around).type == "output.invalid"


def test_no_server_no_such_name_and_a_torn_answer_are_no_answer(call: Make, around: Any, server: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert failure(call(url=f"http://127.0.0.1:{unused.getsockname()[1]}"), around).type == "http.connect"
    assert failure(call(url="http://no-such-host.invalid"), around).type == "http.connect"
    server.answer = lambda request: (200, {"Transfer-Encoding": "chunked"}, b"no chunk\r\n\r\n")
    assert failure(call(url=server.url), around).type == "http.connect"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that takes connections and says nothing. What is long to a request is short here."""
    monkeypatch.setattr("agentctl.actions.http.SILENCE_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(call: Make, around: Any, silent: str) -> None:
    error = failure(call(url=silent), around)
    assert (error.type, error.data) == ("http.connect", None)
    assert error.message == f"No answer from {silent}: nothing came for 100ms; a `timeout` of the step says how long to wait."


def test_the_timeout_of_a_step_alone_says_how_long_its_server_may_be_silent(call: Make, around: Any, silent: str) -> None:
    async def within(seconds: float) -> None:
        async with asyncio.timeout(seconds):  # as the engine does
            await HttpAction().perform(call(url=silent, timeout=seconds), around)

    with pytest.raises(TimeoutError):
        asyncio.run(within(0.4))


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "nonsense", "http://[::1", ""])
def test_a_url_that_is_none_is_invalid_input(call: Make, around: Any, url: str) -> None:
    assert failure(call(url=url), around).type == "input.invalid"


def test_a_header_that_cannot_be_sent_is_invalid_input(call: Make, around: Any, server: Any) -> None:
    assert failure(call(url=server.url, headers={"X": "a\r\nY: b"}), around).type == "input.invalid"
    assert server.requests == []
