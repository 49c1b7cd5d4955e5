"""POST /events/NAME, and the gate before everything."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest


def chunks(size: int, count: int) -> Iterator[bytes]:
    """A body whose length nobody declares."""
    for _ in range(count):
        yield b"x" * size


def test_an_event_is_recorded_and_starts_what_it_triggers(listening: Any) -> None:
    answer = listening.authorized("POST", "/events/order.paid", json.dumps({"order": 7}))
    assert answer.status == 202
    (run,) = listening.runs("orders")
    event_id = answer.json["event_id"]
    assert answer.json == {"event_id": event_id, "duplicate": False, "started": [run.id], "delivered": []}
    assert (run.input, run.trigger, run.event["data"], run.event["id"]) == ({"order": 7}, "event", {"order": 7}, event_id)


def test_an_event_with_a_known_id_is_told_from_a_new_one_and_starts_nothing(listening: Any) -> None:
    headers = {"Idempotency-Key": "payment-1"}
    first = listening.authorized("POST", "/events/order.paid", b"{}", headers)
    again = listening.authorized("POST", "/events/order.paid", b"{}", headers)
    assert (first.json["event_id"], first.json["duplicate"]) == ("payment-1", False)
    assert (again.status, again.json) == (202, {"event_id": "payment-1", "duplicate": True, "started": [], "delivered": []})
    assert len(listening.runs()) == 1


def test_of_many_that_bring_the_same_id_at_once_one_is_new(listening: Any) -> None:
    answers: list[Any] = []

    def send() -> None:
        answers.append(listening.authorized("POST", "/events/order.paid", b"{}", {"Idempotency-Key": "same"}).json)

    sending = [threading.Thread(target=send) for _ in range(16)]
    for one in sending:
        one.start()
    for one in sending:
        one.join(10)
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 15
    assert len(listening.runs()) == 1


def test_an_empty_body_is_an_empty_mapping(listening: Any) -> None:
    listening.authorized("POST", "/events/order.paid")
    assert listening.runs()[0].event["data"] == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "no JSON"),
        (b'{"a": NaN}', "no JSON"),
        (b'"\\ud800"', "no JSON"),
        (b"\xff", "charset utf-8"),
        (b"9" * 5000, "out of range"),
        (b"[" * 100_000, "nested deeper"),
        (b"[" * 101 + b"]" * 101, "nested deeper"),
    ],
)
def test_a_body_that_is_no_json_to_work_with_is_refused(listening: Any, body: bytes, said: str) -> None:
    answer = listening.authorized("POST", "/events/order.paid", body)
    assert (answer.status, answer.json["error"]["type"]) == (400, "usage")
    assert said in answer.json["error"]["message"]
    assert listening.runs() == []


@pytest.mark.parametrize(
    "name",
    [
        *("agentctl.run.failed", "agentctl.", "a.*", "a..b", "a%20b", "", "x" * 201),
        *("a%ffb", "a%ED%A0%80b"),  # no UTF-8
        *("a%00b", "a%C2%9Bb", "a%E2%80%AEb"),  # not to be shown on a screen
    ],
)
def test_a_name_that_no_event_can_have_is_refused(listening: Any, name: str) -> None:
    answer = listening.authorized("POST", f"/events/{name}", b"{}")
    assert (answer.status, answer.json["error"]["type"]) == (400, "usage")
    assert listening.runs() == []


def test_a_deep_body_is_taken_as_long_as_it_can_be_worked_with(listening: Any) -> None:
    assert listening.authorized("POST", "/events/order.paid", b"[" * 100 + b"]" * 100).status == 202


@pytest.mark.parametrize("given", ["", "x" * 256])
def test_an_id_is_neither_empty_nor_endless(listening: Any, given: str) -> None:
    assert listening.authorized("POST", "/events/order.paid", b"{}", {"Idempotency-Key": given}).status == 400


def test_a_body_that_declares_too_much_is_refused_before_it_is_read(listening: Any) -> None:
    connection = listening.connection()
    connection.putrequest("POST", "/events/order.paid")
    connection.putheader("Authorization", "Bearer the-token-of-the-test")
    connection.putheader("Content-Length", str((1 << 20) + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413  # though not a byte of it was sent
    connection.close()


def test_a_body_of_the_largest_size_is_taken(listening: Any) -> None:
    text = "x" * ((1 << 20) - 2)
    assert listening.authorized("POST", "/events/order.paid", json.dumps(text)).status == 202
    assert listening.runs()[0].event["data"] == text


def test_a_body_in_chunks_is_refused_once_it_is_too_large(listening: Any) -> None:
    answer = listening.authorized("POST", "/events/order.paid", chunks(1 << 16, 32))
    assert (answer.status, answer.json["error"]["type"]) == (413, "too_large")
    assert listening.runs() == []


@pytest.mark.parametrize(("token", "status"), [("Bearer the-token-of-the-test", 413), ("Bearer wrong", 401)])
def test_who_sends_much_on_a_connection_to_be_closed_sees_the_answer(listening: Any, token: str, status: int) -> None:
    headers = {"Authorization": token, "Connection": "close"}  # as urllib has it
    assert listening.request("POST", "/events/order.paid", b"x" * (8 << 20), headers).status == status


def test_the_rest_of_a_refused_body_is_not_waited_for_long(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.service.http.lingering_close.SILENCE", 0.05)
    host, _, port = listening.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"POST /events/order.paid HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{")
        said = b"".join(iter(lambda: client.recv(1 << 16), b""))  # to the end of the connection
    assert said.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer the-token-of-the-tes"},
        {"Authorization": "Bearer the-token-of-the-test!"},
        {"Authorization": "Basic the-token-of-the-test"},
        {"Authorization": "the-token-of-the-test"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xe9"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/events/order.paid"),
        ("GET", "/metrics"),
        ("GET", "/nothing/here"),
        ("GET", "/"),
        ("DELETE", "/events/order.paid"),
        ("POST", "/hooks/unknown"),
        ("GET", "/hooks/unknown/../../metrics"),
        ("GET", "/healthz/"),
        ("GET", "//healthz"),
    ],
)
def test_without_the_token_every_path_refuses_alike(listening: Any, method: str, path: str, headers: dict[str, str]) -> None:
    answer = listening.request(method, path, None, headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="agentctl"')
    assert answer.json == {
        "error": {"type": "unauthorized", "message": "this needs a credential: the bearer token, or a signature"}
    }
    assert listening.runs() == []


def test_with_the_token_an_unknown_path_is_not_found_and_a_wrong_method_is_told(listening: Any) -> None:
    assert listening.authorized("GET", "/nothing").json["error"]["type"] == "not_found"
    answer = listening.authorized("GET", "/events/order.paid")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_the_token_is_compared_in_constant_time(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert listening.authorized("GET", "/metrics").status == 401
    assert compared == [(b"the-token-of-the-test", b"the-token-of-the-test")]
