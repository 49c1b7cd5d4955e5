"""POST /hooks/PATH: who is let in, what starts, what a delivery that comes again does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import pytest

SECRET = b"a secret of standard webhooks..."
WRITTEN = "whsec_" + base64.b64encode(SECRET).decode()
NOW = 1_800_000_000


def signed(body: bytes, id_: str = "msg_1", secret: bytes = SECRET, at: int = NOW) -> dict[str, str]:
    digest = hmac.new(secret, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Webhook-Id": id_,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def by_github(body: bytes, delivery: str = "d-1", secret: bytes = b"hush") -> dict[str, str]:
    return {
        "X-Hub-Signature-256": f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": "push",
    }


@pytest.fixture
def hooked(served: Any) -> Any:
    """`shop` and `audit` listen at /shop with secrets of their own, `repo` at /github/push, `open` at /open."""
    for name, path, settings in [
        ("shop", "/shop", "secret: '${{ secrets.SHOP }}'"),
        ("audit", "/shop/", "secret: '${{ secrets.AUDIT }}'"),
        ("repo", "/github/push", "scheme: github, secret: '${{ secrets.REPO }}'"),
        ("plain", "/plain", "scheme: hmac-sha256, secret: '${{ secrets.PLAIN }}'"),
        ("open", "/open", "scheme: none"),
    ]:
        served.write(
            f"loops/{name}.yaml",
            f"""
            loop: {name}
            triggers: [{{webhook: {path}, {settings}}}]
            input: {{order: {{type: integer, default: 0}}}}
            steps: [{{set: {{seen: true}}}}]
            """,
        )
    served.secrets.update(SHOP=WRITTEN, AUDIT=f"whsec_{base64.b64encode(b'of the audit').decode()}", REPO="hush", PLAIN="key")
    served.start()
    return served


def test_a_signed_delivery_starts_the_loop_with_its_body(hooked: Any) -> None:
    body = b'{"order": 7}'
    answer = hooked.request("POST", "/hooks/shop", body, signed(body))
    (run,) = hooked.runs()
    assert (answer.status, answer.json) == (
        202,
        {"event_id": "/shop:msg_1", "duplicate": False, "started": [run.id], "delivered": []},
    )
    assert (run.name, run.trigger, run.input) == ("shop", "webhook", {"order": 7})
    assert {key: run.event[key] for key in ("name", "data", "id")} == {
        "name": "agentctl.webhook.shop",
        "data": {"order": 7},
        "id": "/shop:msg_1",
    }


def test_a_run_sees_the_headers_of_its_delivery_but_none_that_proves_who_sent_it(hooked: Any) -> None:
    sent = {"Cookie": "a=b", "Authorization": "Bearer x", "X-Gitlab-Token": "t", "X-Api-Key": "k", "X-Long": "x" * 1025}
    sent |= {"X-Auth-Key": "k", "X-Shopify-Hmac-Sha256": "h", "X-Twilio-Signature": "s", "Stripe-Signature": "t=1"}
    sent |= {f"X-Many-{number}": "x" for number in range(100)}
    assert hooked.request("POST", "/hooks/github/push", b"{}", {**by_github(b"{}"), **sent}).status == 202
    [run] = hooked.runs()
    headers = run.event["headers"]
    assert (headers["x-github-event"], headers["x-github-delivery"]) == ("push", "d-1")
    assert not {"cookie", "authorization", "x-gitlab-token", "x-api-key", "x-hub-signature-256", "x-long"} & set(headers)
    assert not {"x-auth-key", "x-shopify-hmac-sha256", "x-twilio-signature", "stripe-signature"} & set(headers)
    assert len(headers) == 64


def test_a_delivery_starts_a_loop_once_by_the_first_of_its_triggers_that_fits(served: Any) -> None:
    served.write(
        "loops/repo.yaml",
        """
        loop: repo
        triggers:
          - {webhook: /repo, scheme: none, if: "event.headers['x-github-event'] == 'issues'", input: {what: an issue}}
          - {webhook: /repo, scheme: none, if: event.data.ref is defined, input: {what: event.data.ref}}
          - {webhook: /repo, scheme: none, if: event.data.ref is defined, input: {what: once more}}
        input: {what: {type: string}}
        steps: [{set: {seen: true}}]
        """,
    )
    served.start()
    for kind, body in (("issues", b"{}"), ("push", b'{"ref": "main"}'), ("ping", b"{}")):
        assert served.request("POST", "/hooks/repo", body, {"X-GitHub-Event": kind}).status == 202
    assert sorted(run.input["what"] for run in served.runs()) == ["an issue", "main"]


def test_the_if_of_nothing_else_than_a_delivery_sees_headers(served: Any) -> None:
    served.write("loops/any.yaml", "loop: any\ntriggers: [{event: any, if: event.headers is not defined}]\nsteps: [{shell: x}]\n")
    served.start()
    assert served.authorized("POST", "/events/any", b"{}").status == 202
    [run] = served.runs()
    assert sorted(run.event) == ["data", "id", "name", "received_at"]


def test_a_delivery_that_comes_again_is_accepted_and_starts_nothing(hooked: Any) -> None:
    body = b"{}"
    answers = [hooked.request("POST", "/hooks/shop", body, signed(body)) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert [answer.json["duplicate"] for answer in answers] == [False, True, True]
    assert len(hooked.runs()) == 1


def test_the_same_id_on_another_path_is_another_delivery(hooked: Any) -> None:
    for path in ("open", "plain"):
        signature = hmac.new(b"key", b"{}", hashlib.sha256).hexdigest()
        assert hooked.request("POST", f"/hooks/{path}", b"{}", {"X-Delivery-Id": "1", "X-Signature-256": signature}).status == 202
    assert sorted(run.name for run in hooked.runs()) == ["open", "plain"]


def test_of_the_loops_on_a_path_those_start_whose_secret_signed(hooked: Any) -> None:
    hooked.request("POST", "/hooks/shop", b"{}", signed(b"{}", "msg_2", b"of the audit"))
    assert [run.name for run in hooked.runs()] == ["audit"]
    hooked.secrets["AUDIT"] = WRITTEN
    hooked.request("POST", "/hooks//shop/", b"{}", signed(b"{}", "msg_3"))
    assert sorted(run.name for run in hooked.runs()) == ["audit", "audit", "shop"]


def test_a_secret_is_replaced_without_losing_a_delivery(hooked: Any) -> None:
    new = b"the secret that comes after it.."
    hooked.secrets["SHOP"] = f"{WRITTEN} whsec_{base64.b64encode(new).decode()}"
    for number, secret in enumerate((SECRET, new)):
        assert hooked.request("POST", "/hooks/shop", b"{}", signed(b"{}", f"msg_{number}", secret)).status == 202
    hooked.secrets["SHOP"] = f"whsec_{base64.b64encode(new).decode()}"
    assert hooked.request("POST", "/hooks/shop", b"{}", signed(b"{}", "msg_9")).status == 401
    assert len(hooked.runs()) == 2


@pytest.mark.parametrize("away", [-301, 301])
def test_a_replayed_delivery_is_refused_by_its_time(hooked: Any, away: int) -> None:
    headers = signed(b"{}")
    hooked.clock.at += away
    assert hooked.request("POST", "/hooks/shop", b"{}", headers).status == 401
    assert hooked.runs() == []


def test_github_is_known_by_its_signature_and_its_deliveries_by_their_id(hooked: Any) -> None:
    body = json.dumps({"ref": "refs/heads/main"}).encode()
    first = hooked.request("POST", "/hooks/github/push", body, by_github(body))
    assert first.json["event_id"] == "/github/push:d-1"
    assert hooked.request("POST", "/hooks/github/push", body, by_github(body)).json["duplicate"]
    other = json.dumps({"ref": "refs/heads/other"}).encode()
    assert hooked.request("POST", "/hooks/github/push", other, by_github(other, "d-2")).json["duplicate"] is False
    assert [run.event["name"] for run in hooked.runs()] == ["agentctl.webhook.github.push"] * 2


def test_a_signed_body_that_comes_again_under_another_id_starts_nothing(hooked: Any) -> None:
    body = b'{"ref": "refs/heads/main"}'
    assert hooked.request("POST", "/hooks/github/push", body, by_github(body)).json["duplicate"] is False
    assert hooked.request("POST", "/hooks/github/push", body, by_github(body, "d-9")).json["duplicate"] is True
    signature = {"X-Signature-256": hmac.new(b"key", body, hashlib.sha256).hexdigest()}
    for id_, expected in (("1", False), ("2", True), ("1", True)):
        answer = hooked.request("POST", "/hooks/plain", body, {**signature, "X-Delivery-Id": id_})
        assert answer.json["duplicate"] is expected
    assert sorted(run.name for run in hooked.runs()) == ["plain", "repo"]
    assert hooked.request("POST", "/hooks/open", b"{}", {"X-Delivery-Id": "1"}).json["duplicate"] is False
    assert hooked.request("POST", "/hooks/open", b"{}", {"X-Delivery-Id": "2"}).json["duplicate"] is False


def test_hmac_sha256_knows_a_delivery_by_its_body(hooked: Any) -> None:
    for body, expected in ((b"one", False), (b"one", True), (b"two", False)):
        headers = {"X-Signature-256": hmac.new(b"key", body, hashlib.sha256).hexdigest()}
        assert hooked.request("POST", "/hooks/plain", body, headers).json["duplicate"] is expected


def test_without_a_scheme_each_delivery_is_a_new_one_and_needs_no_credential(hooked: Any) -> None:
    assert [hooked.request("POST", "/hooks/open", b"{}").json["duplicate"] for _ in range(2)] == [False, False]
    assert len(hooked.runs()) == 2


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        ("", b"a=1&b=2", {"raw": "a=1&b=2"}),
        ("", b"", {"raw": ""}),
        ("", b"[1]", [1]),
        ("", b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("application/json; charset=utf-16", '{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ("text/plain; charset=iso-8859-1", b"caf\xe9", {"raw": "café"}),
        ("application/x-www-form-urlencoded", b"a=1&b=%C3%A9&a=2&c=", {"a": ["1", "2"], "b": "é", "c": ""}),
    ],
)
def test_a_body_is_json_a_form_or_text_in_the_charset_that_it_names(hooked: Any, kind: str, body: bytes, data: Any) -> None:
    hooked.request("POST", "/hooks/open", body, {"Content-Type": kind} if kind else {})
    assert hooked.runs()[0].event["data"] == data


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain; charset=nonesuch"}, {"Content-Type": "a/b; charset=hex"}])
def test_a_body_that_is_no_text_is_refused(hooked: Any, headers: dict[str, str]) -> None:
    answer = hooked.request("POST", "/hooks/open", b"\xff", headers)
    assert (answer.status, answer.json["error"]["type"]) == (400, "usage")
    assert hooked.runs() == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("shop", {}),
        ("shop", {**signed(b"{}"), "Webhook-Id": "msg_2"}),
        ("shop", signed(b"{} ")),
        ("shop", by_github(b"{}", secret=SECRET)),
        ("github/push", by_github(b"{}", secret=b"other")),
        ("github/push", {**by_github(b"{}"), "X-Hub-Signature-256": "sha256="}),
        ("plain", {"X-Signature-256": "0" * 64}),
        ("nowhere", {}),
        ("nowhere", signed(b"{}")),
        ("", {}),
    ],
)
def test_a_delivery_without_its_signature_is_refused_and_not_told_why(
    hooked: Any, path: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = hooked.request("POST", f"/hooks/{path}", b"{}", headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="agentctl"')
    assert answer.json["error"]["message"] == "this needs a credential: the bearer token, or a signature"
    assert hooked.runs() == []
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(f"401: POST '/hooks/{path}' from 127.0.0.1: ")
    assert WRITTEN not in line


def test_the_token_does_not_stand_in_for_a_signature_and_the_answer_says_so(hooked: Any) -> None:
    answer = hooked.authorized("POST", "/hooks/shop", b"{}")
    assert answer.status == 401
    assert "the bearer token is not enough" in answer.json["error"]["message"]
    assert hooked.runs() == []


def test_with_the_token_a_path_that_nobody_serves_is_not_found(hooked: Any) -> None:
    answer = hooked.authorized("POST", "/hooks/nowhere", b"{}")
    assert (answer.status, answer.json["error"]["message"]) == (404, "no definition has the trigger `webhook: /nowhere`")


@pytest.mark.parametrize("secret", [None, "", "whsec_", "whsec_#"])
def test_a_secret_that_is_not_set_lets_nobody_in_and_the_log_says_so(
    hooked: Any, secret: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    hooked.secrets.pop("SHOP")
    hooked.secrets.pop("AUDIT")
    if secret is not None:
        hooked.secrets["SHOP"] = secret
    assert hooked.request("POST", "/hooks/shop", b"{}", signed(b"{}", secret=b"")).status == 401
    assert "the webhook /shop of shop lets nobody in" in caplog.text


def test_a_delivery_that_is_too_large_is_refused_before_its_signature_is_looked_at(hooked: Any) -> None:
    assert hooked.request("POST", "/hooks/shop", b"x" * ((1 << 20) + 1)).status == 413


def test_a_paused_loop_takes_its_deliveries_and_starts_nothing(hooked: Any) -> None:
    hooked.wait(hooked.pause("shop"))
    answer = hooked.request("POST", "/hooks/shop", b"{}", signed(b"{}"))
    assert (answer.status, answer.json["started"]) == (202, [])
    assert hooked.runs() == []


def test_while_the_service_is_not_ready_a_delivery_is_to_be_sent_again(hooked: Any) -> None:
    hooked.unready.append("the service is starting")
    answer = hooked.request("POST", "/hooks/shop", b"{}", signed(b"{}"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
