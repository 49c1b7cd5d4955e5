"""How webhooks are signed. What is expected is computed here by other means than those under test, or comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess

import pytest

from agentctl.service.http import signatures
from agentctl.service.http.signatures import Refused, SecretFlaw, delivery_id

NOW = 1_614_265_330.0

# The example of the Standard Webhooks specification and of its reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
OTHER = "whsec_" + base64.b64encode(b"another secret, of 32 bytes, yes").decode()


def by_openssl(key: bytes, data: bytes) -> str:
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    return done.stdout.decode().strip().rpartition(" ")[2]


def by_hand(key: bytes, data: bytes) -> str:
    """RFC 2104, of keys up to 64 bytes."""
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key.ljust(64, b"\0")) + data).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key.ljust(64, b"\0")) + inner).hexdigest()


def test_the_example_of_standard_webhooks_is_accepted() -> None:
    assert delivery_id("standard", SECRET, STANDARD, BODY, NOW) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_a_secret_without_its_prefix_is_the_same_secret() -> None:
    assert delivery_id("standard", SECRET.removeprefix("whsec_"), STANDARD, BODY, NOW)


@pytest.mark.parametrize("secret", [f"{OTHER} {SECRET}", f"{SECRET}\n{OTHER}\n"])
def test_either_of_two_active_secrets_of_standard_webhooks_is_accepted(secret: str) -> None:
    assert delivery_id("standard", secret, STANDARD, BODY, NOW)


def test_one_of_several_signatures_has_to_fit() -> None:
    given = f"v1a,abc v1,bm9uZQ== {STANDARD['webhook-signature']} v2,x"
    assert delivery_id("standard", SECRET, {**STANDARD, "webhook-signature": given}, BODY, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-signature": "v1,AAhM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "v1,"},
        {"webhook-signature": ""},
        {"webhook-id": ""},
        {"webhook-timestamp": "1614265330.0"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
    ],
)
def test_whatever_else_is_changed_in_a_delivery_it_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(Refused):
        delivery_id("standard", SECRET, {**STANDARD, **change}, BODY, NOW)


@pytest.mark.parametrize("missing", list(STANDARD))
def test_a_delivery_without_one_of_the_headers_is_refused(missing: str) -> None:
    with pytest.raises(Refused, match=missing):
        delivery_id("standard", SECRET, {name: value for name, value in STANDARD.items() if name != missing}, BODY, NOW)


def test_another_body_is_refused() -> None:
    with pytest.raises(Refused, match="does not fit"):
        delivery_id("standard", SECRET, STANDARD, BODY + b" ", NOW)


@pytest.mark.parametrize("away", [-300, 300])
def test_a_clock_may_be_five_minutes_away(away: float) -> None:
    assert delivery_id("standard", SECRET, STANDARD, BODY, NOW + away)


@pytest.mark.parametrize(("away", "said"), [(-301, "301 s ahead"), (301, "301 s behind")])
def test_a_clock_that_is_further_away_refuses(away: float, said: str) -> None:
    with pytest.raises(Refused, match=said):
        delivery_id("standard", SECRET, STANDARD, BODY, NOW + away)


def test_an_example_of_github_is_accepted() -> None:
    """From its documentation on validating deliveries."""
    headers = {
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    }
    secret = "It's a Secret to Everybody"
    assert delivery_id("github", secret, headers, b"Hello, World!", NOW) == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    with pytest.raises(Refused):
        delivery_id("github", secret, headers, b"Hello, World?", NOW)


@pytest.mark.parametrize("secret", ["Everybody", "It's"])
def test_a_word_of_a_phrase_is_not_the_secret(secret: str) -> None:
    signature = by_hand(secret.encode(), b"x")
    with pytest.raises(Refused):
        delivery_id("github", "It's a Secret to Everybody", {"x-hub-signature-256": f"sha256={signature}"}, b"x", NOW)


@pytest.mark.parametrize("secret", [b"old", b"new one"])
@pytest.mark.parametrize(("scheme", "header"), [("github", "x-hub-signature-256"), ("hmac-sha256", "x-signature-256")])
def test_of_secrets_in_lines_each_one_is_active(scheme: str, header: str, secret: bytes) -> None:
    assert delivery_id(scheme, "old\nnew one\n", {header: f"sha256={by_openssl(secret, BODY)}"}, BODY, NOW)


@pytest.mark.parametrize("form", ["{}", "sha256={}"])
def test_hmac_sha256_takes_the_digest_with_and_without_its_name(form: str) -> None:
    digest = by_openssl(b"key", BODY)
    assert digest == by_hand(b"key", BODY)
    for text in (digest, digest.upper()):
        assert delivery_id("hmac-sha256", "key", {"x-signature-256": form.format(text)}, BODY, NOW)


@pytest.mark.parametrize("given", ["sha1=" + "0" * 64, "0" * 63, "0" * 65, "é" * 64, "", "sha256="])
def test_what_is_no_digest_is_refused(given: str) -> None:
    with pytest.raises(Refused):
        delivery_id("hmac-sha256", "key", {"x-signature-256": given}, BODY, NOW)


def test_a_delivery_without_an_id_is_known_by_its_body() -> None:
    signed = {"x-signature-256": by_openssl(b"key", BODY)}
    digest = f"sha256-{hashlib.sha256(BODY).hexdigest()}"
    assert delivery_id("hmac-sha256", "key", signed, BODY, NOW) == digest
    assert delivery_id("hmac-sha256", "key", {**signed, "x-delivery-id": "d-1"}, BODY, NOW) == "d-1"


def test_scheme_none_asks_for_nothing() -> None:
    assert delivery_id("none", "", {}, BODY, NOW) is None
    assert delivery_id("none", "", {"x-delivery-id": "d-1"}, BODY, NOW) == "d-1"


@pytest.mark.parametrize("secret", ["", " ", "\n\n", "whsec_", "whsec_***", "whsec_Mf KQ"])
def test_a_secret_that_is_none_lets_nobody_in(secret: str) -> None:
    """An empty key is one that everybody can sign with."""
    signed = hmac.new(b"", f"msg.{NOW:.0f}.".encode() + BODY, "sha256").digest()
    headers = {
        "webhook-id": "msg",
        "webhook-timestamp": f"{NOW:.0f}",
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    with pytest.raises(SecretFlaw) as raised:
        delivery_id("standard", secret, headers, BODY, NOW)
    assert "***" not in str(raised.value)


@pytest.mark.parametrize("secret", ["", " ", "\n\n"])
@pytest.mark.parametrize(("scheme", "header"), [("github", "x-hub-signature-256"), ("hmac-sha256", "x-signature-256")])
def test_an_empty_secret_lets_nobody_in(scheme: str, header: str, secret: str) -> None:
    with pytest.raises(SecretFlaw):
        delivery_id(scheme, secret, {header: f"sha256={by_hand(b'', BODY)}"}, BODY, NOW)


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [("standard", STANDARD), ("github", {"x-hub-signature-256": "0" * 64}), ("hmac-sha256", {"x-signature-256": "0" * 64})],
)
def test_signatures_are_compared_in_constant_time(scheme: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def compare(left: bytes, right: bytes) -> bool:
        lengths.append((len(left), len(right)))
        return True

    monkeypatch.setattr(signatures.hmac, "compare_digest", compare)
    assert delivery_id(scheme, f"{OTHER}\n{SECRET}", headers, BODY, NOW)
    assert len(lengths) == 2  # each active secret, though the first one fitted
    assert all(left == right for left, right in lengths)
