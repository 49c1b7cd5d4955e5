from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentctl.actions.http import HttpAction, retry_after
from agentctl.errors import ActionError
from agentctl.ports import Call

Make = Callable[..., Call]


def run(call: Call, around: Any) -> Any:
    return asyncio.run(HttpAction().perform(call, around)).output


def failure(call: Call, around: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        run(call, around)
    return caught.value


def test_json_answers_are_parsed_and_header_names_are_lower_case(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "application/json", "X-Seen": "Yes"}, b'{"a": 1}')
    output = run(call(url=server.url), around)
    assert (output["status"], output["body"], output["headers"]["x-seen"]) == (200, {"a": 1}, "Yes")


def test_other_answers_are_text_and_parse_decides(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "text/plain"}, b'{"a": "\xff"}')
    assert run(call(url=server.url), around)["body"] == '{"a": "\ufffd"}'
    assert run(call(url=server.url, parse="json"), around)["body"] == {"a": "\ufffd"}


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
