"""Where the bearer token comes from, and where `--listen` may listen."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentctl.errors import AddressUnavailable, UsageError
from agentctl.service.http import address, token
from agentctl.service.http.token import Token


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "agentctl.db"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "agentctl-token").write_text("of-systemd\n")
    return folder


def test_the_environment_comes_first_then_systemd(store: Path, credentials: Path) -> None:
    environ = {"AGENTCTL_TOKEN": "of-the-environment", "CREDENTIALS_DIRECTORY": str(credentials)}
    found = token.find(store, environ)
    assert (found.value, found.origin, found.explicit) == ("of-the-environment", "$AGENTCTL_TOKEN", True)
    found = token.find(store, {**environ, "AGENTCTL_TOKEN": ""})
    assert (found.value, found.origin, found.explicit) == ("of-systemd", "the credential agentctl-token", True)
    assert list(store.parent.glob("*.token")) == []


def test_without_one_a_token_is_made_that_nobody_else_may_read_and_it_stays(store: Path, credentials: Path) -> None:
    (credentials / "agentctl-token").unlink()
    made = token.find(store, {"CREDENTIALS_DIRECTORY": str(credentials)})
    path = store.with_name("agentctl.db.token")
    assert (made.origin, made.explicit) == (str(path), False)
    assert len(made.value) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token.find(store, {}) == made
    assert [entry.name for entry in store.parent.iterdir() if entry.is_file()] == ["agentctl.db.token"]


def test_two_stores_have_two_tokens(tmp_path: Path) -> None:
    assert token.find(tmp_path / "a.db", {}).value != token.find(tmp_path / "b.db", {}).value


def test_a_token_that_is_a_link_to_nowhere_is_told(store: Path) -> None:
    store.with_name("agentctl.db.token").symlink_to(store.with_name("nowhere"))
    with pytest.raises(UsageError, match="cannot be read: No such file or directory; remove the file"):
        token.find(store, {})


def test_a_token_that_others_may_read_is_refused(store: Path) -> None:
    token.find(store, {})
    path = store.with_name("agentctl.db.token")
    path.chmod(0o640)
    with pytest.raises(UsageError, match=f"chmod 600 {path}"):
        token.find(store, {})


@pytest.mark.parametrize("value", ["two words", "é", "a\nb", " "])
def test_a_token_that_no_header_carries_is_refused_without_showing_it(store: Path, value: str) -> None:
    with pytest.raises(UsageError) as raised:
        token.find(store, {"AGENTCTL_TOKEN": value})
    assert "$AGENTCTL_TOKEN" in str(raised.value)
    assert value.strip() == "" or value not in str(raised.value)


def test_an_empty_credential_is_an_error_and_not_a_reason_to_make_one(store: Path, credentials: Path) -> None:
    (credentials / "agentctl-token").write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        token.find(store, {"CREDENTIALS_DIRECTORY": str(credentials)})


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no token can be made"):
        token.find(tmp_path / "missing" / "agentctl.db", {})


def test_a_token_does_not_show_its_value() -> None:
    assert "hidden" not in repr(Token("hidden", "the test", explicit=True))


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize(
    "text",
    ["", "8420", ":8420", "localhost", "127.0.0.1:", "127.0.0.1:65536", "::1:8420", "http://127.0.0.1:8420", "a b:1", "x:-1"],
)
def test_an_address_is_host_and_port(text: str) -> None:
    with pytest.raises(UsageError, match=r"--listen takes HOST:PORT, such as 127\.0\.0\.1:8420 or \[::1\]:8420"):
        address.parse(text)


def test_a_port_in_use_is_told_in_a_sentence(taken: int) -> None:
    with pytest.raises(AddressUnavailable) as raised:
        address.bind(address.parse(f"127.0.0.1:{taken}"), only_loopback=True)
    assert str(raised.value) == f"--listen 127.0.0.1:{taken}: the port is in use by another program"


@pytest.mark.parametrize("text", ["0.0.0.0:0", "[::]:0", "203.0.113.7:0"])
def test_off_loopback_a_token_of_ones_own_is_demanded(text: str) -> None:
    with pytest.raises(UsageError, match="can be reached from other machines: first choose a token"):
        address.bind(address.parse(text), only_loopback=True)


def test_with_one_any_address_of_the_machine_may_be_listened_on() -> None:
    with address.bind(address.parse("0.0.0.0:0"), only_loopback=False) as listening:
        assert address.url(listening).startswith("http://0.0.0.0:")


@pytest.mark.parametrize("text", ["203.0.113.7:0", "nowhere.invalid:0"])
def test_an_address_that_the_machine_does_not_have_is_told(text: str) -> None:
    with pytest.raises((UsageError, AddressUnavailable), match="no such address"):
        address.bind(address.parse(text), only_loopback=False)


def test_an_address_that_may_come_yet_is_no_mistake_of_the_command_line() -> None:
    """systemd does not start a service again that ends with exit code 2, and at boot the network may be late."""
    with pytest.raises(AddressUnavailable) as raised:
        address.bind(address.parse("203.0.113.7:0"), only_loopback=False)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("text", ["a..b:80", ".:80", "a" * 70 + ":80", "\udcff:80"])
def test_what_is_no_name_of_a_host_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="no name of a host"):
        address.bind(address.parse(text), only_loopback=False)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:0", "127.0.0.53:0"])
def test_loopback_has_several_names(text: str) -> None:
    address.bind(address.parse(text), only_loopback=True).close()
