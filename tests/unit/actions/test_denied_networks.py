"""`policy: {http: {deny: [...]}}`: what a request may reach is decided by address, not by name."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions import denied, http, registry
from agentctl.actions.http import HttpAction
from agentctl.errors import ActionError
from agentctl.ports import Call

Make = Callable[..., Call]
LOOPBACK = "127.0.0.0/8"


def run(deny: list[str], call: Call, around: Any) -> Any:
    return asyncio.run(HttpAction(deny).perform(call, around)).output


def failure(deny: list[str], call: Call, around: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        run(deny, call, around)
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"])
def test_a_request_into_a_denied_network_is_refused_however_it_is_written(
    call: Make, around: Any, server: Any, host: str
) -> None:
    error = failure([LOOPBACK], call(url=f"http://{host}:{server.url.rpartition(':')[2]}"), around)
    assert error.type == "permission.denied"
    assert "`policy.http.deny` of agentctl.yaml denies 127.0.0.0/8" in error.message
    assert server.requests == []


def test_the_error_names_the_host_and_the_address_it_has(call: Make, around: Any) -> None:
    error = failure([LOOPBACK, "::1/128"], call(url="http://localhost:1"), around)
    assert error.message.startswith(("No request is sent to localhost (127.0.0.1)", "No request is sent to localhost (::1)"))


def test_a_request_elsewhere_works_as_ever(call: Make, around: Any, server: Any) -> None:
    server.answer = lambda request: (200, {"Content-Type": "application/json"}, request["body"])
    output = run(["169.254.0.0/16", "fe80::/10"], call(method="POST", url=server.url + "/x?a=1", json={"k": "v"}), around)
    assert (output["status"], output["body"]) == (200, {"k": "v"})
    assert (server.requests[0]["path"], server.requests[0]["headers"]["host"]) == ("/x?a=1", server.url.removeprefix("http://"))


def test_a_redirect_into_a_denied_network_is_refused(call: Make, around: Any, server: Any) -> None:
    port = server.url.rpartition(":")[2]
    server.answer = lambda request: (302, {"Location": f"http://127.0.0.2:{port}/inside"}, b"")
    error = failure(["127.0.0.2/32"], call(url=server.url), around)
    assert (error.type, len(server.requests)) == ("permission.denied", 1)
    assert "127.0.0.2" in error.message


def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_connected_to(
    call: Make, around: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that gives another address to each question cannot lead a request past the check."""
    real, asked = socket.getaddrinfo, []

    def answers(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host != "rebinds.test":
            return real(host, port, *more, **named)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    url = f"http://rebinds.test:{server.url.rpartition(':')[2]}"
    assert run(["127.0.0.2/32"], call(url=url), around)["status"] == 200
    assert asked == ["rebinds.test"]
    assert failure(["127.0.0.2/32"], call(url=url), around).type == "permission.denied"


def test_one_denied_address_of_a_name_is_enough_and_the_next_one_is_tried_when_the_first_is_closed(
    call: Make, around: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def answers(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        hosts = ["127.0.0.2", "127.0.0.1"] if host == "both.test" else [host]  # the server listens on the second one only
        return [found for each in hosts for found in real(each, port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    url = f"http://both.test:{server.url.rpartition(':')[2]}"
    assert run(["10.0.0.0/8"], call(url=url), around)["status"] == 200
    assert failure(["127.0.0.1/32"], call(url=url), around).type == "permission.denied"


def test_a_proxy_of_the_environment_is_not_asked_to_go_there(
    call: Make, around: Any, make_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = make_server(), make_server()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert failure([LOOPBACK], call(url=server.url), around).type == "permission.denied"
    assert run(["10.0.0.0/8"], call(url=server.url), around)["status"] == 200
    assert (len(server.requests), proxy.requests) == (1, [])


def test_no_answer_and_no_such_host_are_told_as_without_a_policy(
    call: Make, around: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        error = failure(["10.0.0.0/8"], call(url=url), around)
    assert (error.type, error.data) == ("http.connect", {"sent": False})

    def unknown(*given: Any, **named: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure(["10.0.0.0/8"], call(url="http://nowhere.test"), around)
    assert (error.type, error.data) == ("http.connect", {"sent": False})


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port of a TLS server on 127.0.0.1 whose certificate is for localhost only, and that certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *named, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            except OSError:  # the client did not like the certificate
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_tls_asks_for_the_certificate_of_the_name(
    call: Make, around: Any, certified: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, certificate = certified
    monkeypatch.setattr(http, "_tls", lambda: ssl.create_default_context(cafile=str(certificate)))
    assert run(["10.0.0.0/8"], call(url=f"https://localhost:{port}"), around)["body"] == "ok"
    assert failure(["10.0.0.0/8"], call(url=f"https://127.0.0.1:{port}"), around).type == "http.connect"
    assert failure([LOOPBACK], call(url=f"https://localhost:{port}"), around).type == "permission.denied"


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("169.254.169.254", "169.254.0.0/16", True),
        ("::ffff:169.254.169.254", "169.254.0.0/16", True),
        ("169.254.169.254", "::ffff:169.254.0.0/112", True),
        ("::ffff:0.0.0.0", "127.0.0.0/8", True),
        ("0.0.0.0", "0.0.0.0/8", True),
        ("::", "::1/128", True),
        ("fe80::1%2", "fe80::/10", True),
        ("64:ff9b::a9fe:a9fe", "169.254.0.0/16", True),
        ("64:ff9b:1::a9fe:a9fe", "169.254.0.0/16", True),
        ("64:ff9b:1:a9fe:a9:fe00::", "169.254.0.0/16", True),
        ("2002:a9fe:a9fe::1", "169.254.0.0/16", True),
        ("::a9fe:a9fe", "169.254.0.0/16", True),
        ("2001:0:4136:e378:8000:63bf:5601:5601", "169.254.0.0/16", True),
        ("64:ff9b::808:808", "169.254.0.0/16", False),
        ("::1", "0.0.0.0/8", False),
        ("169.253.0.1", "169.254.0.0/16", False),
        ("2001:db8::1", "169.254.0.0/16", False),
        ("10.0.0.1", "fe80::/10", False),
    ],
)
def test_an_address_lies_in_a_network_in_whichever_family_it_is_written(address: str, network: str, inside: bool) -> None:
    assert (denied.denying(address, [ipaddress.ip_network(network)]) is not None) is inside


@pytest.mark.parametrize(
    ("policy", "deny"),
    [
        (None, []),
        ({"http": None}, []),
        ({"http": {"deny": [LOOPBACK]}}, [LOOPBACK]),
        ({"http": {"deny": LOOPBACK}}, [LOOPBACK]),
        ({"agents": {"publish": "auto"}}, []),
    ],
)
def test_the_http_action_of_a_project_has_the_policy_of_its_file(policy: Any, deny: list[str]) -> None:
    action: Any = registry.build(policy=policy)["http"]
    assert action.deny == deny
