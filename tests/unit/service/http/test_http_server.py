"""How the server stands up to trouble: a store that cannot be written, bugs, slow clients, too many of them, its own end."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from waiting import eventually

from agentctl.errors import StoreError, StoreFull
from agentctl.service.http import app, server

# The beginning of one that would be taken.
POST = (
    b"POST /events/order.paid HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token-of-the-test\r\nContent-Length: 99\r\n\r\n{"
)


def dribble(connection: socket.socket, until: float) -> None:
    """Go on sending, a byte at a time."""
    while time.monotonic() < until:
        connection.sendall(b"x")
        time.sleep(0.05)


def asked(served: Any, times: int) -> None:
    """Returns when the engine has been asked so often to keep an event."""
    eventually(lambda: served.engine.asked >= times, f"{times} events")


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


def healthy(connection: socket.socket) -> bool:
    """Whether a request on it is answered; all of the answer is read."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    text = b""
    while not text.endswith(b"}\n") and (chunk := connection.recv(1000)):
        text += chunk
    return text.startswith(b"HTTP/1.1 200")


def connect(served: Any) -> socket.socket:
    host, port = served.url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def test_it_is_healthy_and_ready_without_a_credential(listening: Any) -> None:
    assert (listening.request("GET", "/healthz").status, listening.request("GET", "/readyz").json) == (200, {"status": "ready"})


def test_while_it_is_not_ready_it_says_why_and_takes_no_event(listening: Any) -> None:
    listening.unready.append("the service is starting")
    answer = listening.request("GET", "/readyz")
    assert (answer.status, answer.json["reasons"]) == (503, ["the service is starting"])
    refused = listening.authorized("POST", "/events/order.paid", b"{}")
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert listening.request("GET", "/healthz").status == 200
    assert listening.runs() == []


def test_it_is_not_ready_while_the_store_cannot_be_written(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check_writable() -> None:
        raise StoreFull("no room for the store /secret/place: the disk is full")

    monkeypatch.setattr(listening.store, "check_writable", check_writable)
    answer = listening.request("GET", "/readyz")
    assert (answer.status, answer.json["reasons"]) == (503, ["the store cannot be written (store.full)"])


def test_however_often_it_is_asked_whether_it_is_ready_the_disk_is_asked_once(
    listening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def check_writable() -> None:
        asked.append(1)

    monkeypatch.setattr(listening.store, "check_writable", check_writable)
    assert {listening.request("GET", "/readyz").status for _ in range(20)} == {200}
    assert len(asked) == 1


def test_an_event_that_cannot_be_kept_is_not_acknowledged(listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    listening.engine.fails = StoreFull("no room for the store /secret/place: the disk is full")
    answer = listening.authorized("POST", "/events/order.paid", b"{}", {"Idempotency-Key": "1"})
    assert (answer.status, answer.headers["retry-after"], answer.json["error"]["type"]) == (503, "5", "store.full")
    assert "/secret/place" not in answer.text
    assert "/secret/place" in caplog.text
    listening.engine.fails = None
    assert listening.authorized("POST", "/events/order.paid", b"{}", {"Idempotency-Key": "1"}).json["duplicate"] is False


def test_a_bug_is_told_in_the_log_and_not_to_the_client(listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    listening.engine.fails = RuntimeError("the inner workings")
    answer = listening.authorized("POST", "/events/order.paid", b"{}")
    assert (answer.status, answer.json["error"]["type"]) == (500, "internal")
    assert "inner" not in answer.text
    listening.engine.fails = None
    assert listening.authorized("POST", "/events/order.paid", b"{}").status == 202
    assert "the inner workings" in caplog.text
    count = listening.counters.registry.get_sample_value
    assert [count("agentctl_http_requests_total", {"code": code}) for code in ("500", "202")] == [1, 1]


def test_a_kind_of_store_error_that_came_later_is_known_too(listening: Any) -> None:
    class StoreOdd(StoreError):
        kind = "store.odd"

    listening.engine.fails = StoreOdd("odd")
    assert listening.authorized("POST", "/events/order.paid", b"{}").status == 503


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /events/order.paid HT",
        b"POST /events/order.paid HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        POST,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
    ],
)
def test_who_does_not_finish_a_request_is_cut_off(served: Any, monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(server, "DEADLINE", 0.3)
    served.start()
    with connect(served) as slow:
        slow.sendall(beginning)
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            dribble(slow, until=began + 5)
    assert served.request("GET", "/healthz").status == 200


def test_a_request_that_takes_long_to_answer_is_answered(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DEADLINE", 0.2)
    listening.engine.slow = 0.8
    assert listening.authorized("POST", "/events/order.paid", b"{}").status == 202


def test_a_connection_serves_one_request_after_the_other(listening: Any) -> None:
    connection = listening.connection()
    for number in range(3):
        headers = {"Authorization": "Bearer the-token-of-the-test", "Idempotency-Key": f"n-{number}"}
        connection.request("POST", "/events/order.paid", b"{}", headers)
        assert json.load(connection.getresponse())["event_id"] == f"n-{number}"
    connection.close()


def test_beyond_so_many_connections_the_oldest_of_who_has_most_is_closed(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    served.start()
    held = [connect(served) for _ in range(3)]
    for one in held:
        assert healthy(one)
    assert served.authorized("POST", "/events/order.paid", b"{}").status == 202
    assert ended(held[0])
    assert healthy(held[1])
    for one in held:
        one.close()


def test_slow_requests_without_a_credential_do_not_keep_out_who_has_the_token(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BUSY", 4)
    monkeypatch.setattr(app, "BUSY_UNKNOWN", 4)
    monkeypatch.setattr(app, "BUSY_PEER", 2)
    served.write("loops/open.yaml", "loop: open\ntriggers: [{webhook: /open, scheme: none}]\nsteps: [{set: {a: 1}}]\n")
    served.start()
    slow = [connect(served) for _ in range(2)]
    for one in slow:
        one.sendall(b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    eventually(lambda: served.request("POST", "/hooks/open", b"{}").status == 503, "the places of one address are taken")
    assert served.authorized("POST", "/events/order.paid", b"{}").status == 202
    assert served.authorized("POST", "/hooks/open", b"{}").status == 202
    for one in slow:
        one.close()
    eventually(lambda: served.request("POST", "/hooks/open", b"{}").status == 202, "they are free again")


def test_when_many_are_being_served_others_are_told_to_come_back(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BUSY", 2)
    listening.engine.slow = 1.0
    asking = [threading.Thread(target=listening.authorized, args=("POST", "/events/order.paid", b"{}")) for _ in range(2)]
    for one in asking:
        one.start()
    asked(listening, 2)
    busy = listening.authorized("POST", "/events/order.paid", b"{}")
    assert (busy.status, busy.headers["retry-after"], busy.json["error"]["type"]) == (503, "5", "busy")
    assert listening.request("GET", "/healthz").status == 200
    for one in asking:
        one.join(5)
    assert len(listening.runs()) == 2


def test_headers_without_end_are_refused(listening: Any) -> None:
    with connect(listening) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * (32 << 10))
        assert endless.recv(1000).startswith(b"HTTP/1.1 400")


def test_what_is_no_http_is_refused(listening: Any) -> None:
    with connect(listening) as other:
        other.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n")
        assert other.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_in_the_middle_is_no_error(listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    with connect(listening) as leaving:
        leaving.sendall(POST)
    assert listening.request("GET", "/healthz").status == 200
    assert "Traceback" not in caplog.text


def test_stopping_it_answers_what_is_under_way_and_takes_nothing_more(listening: Any) -> None:
    listening.engine.slow = 0.5
    answers = []
    asking = threading.Thread(target=lambda: answers.append(listening.authorized("POST", "/events/order.paid", b"{}")))
    asking.start()
    asked(listening, 1)
    listening.stop()
    asking.join(5)
    assert [answer.status for answer in answers] == [202]
    assert len(listening.runs()) == 1
    with pytest.raises(ConnectionError):
        connect(listening)


def test_a_port_that_was_left_can_be_taken_again_at_once(listening: Any) -> None:
    assert listening.request("GET", "/healthz").status == 200
    url = listening.url
    listening.stop()
    listening.start(url.removeprefix("http://"))
    assert listening.url == url
    assert listening.request("GET", "/healthz").status == 200


def test_ipv6_is_listened_on_in_brackets(served: Any) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    served.start("[::1]:0")
    assert served.url.startswith("http://[::1]:")
    assert served.request("GET", "/healthz").status == 200


def test_a_flood_of_refusals_is_none_of_the_log(listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    connection = listening.connection()
    for _ in range(100):
        connection.request("GET", "/metrics")
        connection.getresponse().read()
    connection.close()
    lines = [record.getMessage() for record in caplog.records]
    assert 20 <= len(lines) < 90  # and a few more, where this took longer than a second


def test_a_line_of_the_log_cannot_be_forged_and_holds_no_secret(listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    listening.request("GET", "/x%0A401:%20forged%1B[2J?token=hidden", None, {"Authorization": "Bearer hidden-too"})
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "401: GET '/x\\n401: forged\\x1b[2J' from 127.0.0.1: another token than ours"


def answered(served: Any, request: bytes) -> tuple[bytes, dict[str, Any]]:
    """The status line and the document, of a connection that is closed after it."""
    with connect(served) as connection:
        connection.sendall(request)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head.splitlines()[0], json.loads(body)


@pytest.mark.parametrize("request_", [b"GARBAGE\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"])
def test_what_is_no_http_is_answered_by_an_error_like_every_other(listening: Any, request_: bytes) -> None:
    status, document = answered(listening, request_)
    assert (status, document["error"]["type"]) == (b"HTTP/1.1 400 Bad Request", "usage")


def test_a_large_head_is_refused_though_it_comes_in_one_piece(listening: Any) -> None:
    status, document = answered(listening, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 4000 + b"\r\n")
    assert (status[:12], document["error"]["type"]) == (b"HTTP/1.1 431", "too_large")


def test_a_body_with_two_ends_is_refused(listening: Any) -> None:
    head = b"POST /events/order.paid HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token-of-the-test\r\n"
    status, document = answered(listening, head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert (status[:12], document["error"]["type"]) == (b"HTTP/1.1 400", "usage")
    assert listening.runs() == []
