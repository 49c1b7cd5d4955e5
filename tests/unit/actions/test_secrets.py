from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions.secrets import Secrets, read_env_file
from agentctl.errors import UsageError

ENV_FILE = r"""
# a comment
export TOKEN=abc-123-token
QUOTED="with \"quotes\" # and\nlines"  # comment
SINGLE='as it is \n'
BARE=value with spaces   # comment
EMPTY=
KEY="-----BEGIN-----
secondlineofakey
-----END-----"
AFTER=last
not an assignment
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def test_an_env_file_knows_quotes_comments_and_export(root: Path) -> None:
    (root / ".env").write_text(ENV_FILE)
    assert read_env_file(root / ".env") == {
        "TOKEN": "abc-123-token",
        "QUOTED": 'with "quotes" # and\nlines',
        "SINGLE": r"as it is \n",
        "BARE": "value with spaces",
        "EMPTY": "",
        "KEY": "-----BEGIN-----\nsecondlineofakey\n-----END-----",
        "AFTER": "last",
    }


def test_the_environment_comes_before_the_env_file_and_that_before_credentials(root: Path) -> None:
    folder = root / "credentials"
    folder.mkdir()
    (root / ".env").write_text("A=file\nB=file\n")
    for name in "ABC":
        (folder / name).write_text("credential\n")
    secrets = Secrets(root, environ={"A": "environment", "CREDENTIALS_DIRECTORY": str(folder)})
    assert [secrets.read(name) for name in "ABC"] == ["environment", "file", "credential"]
    assert secrets.names() == ["A", "B", "C", "CREDENTIALS_DIRECTORY"]
    assert secrets.get("D") is None
    with pytest.raises(KeyError):
        secrets.read("D")


def test_a_value_is_scrubbed_only_once_it_was_read_from_the_environment(root: Path) -> None:
    secrets = Secrets(root, environ={"HOME": "/home/someone", "TOKEN": "s3cr3t-value"})
    value = {"a": ["/home/someone", "key s3cr3t-value!"], "s3cr3t-value": 1}
    assert secrets.scrub(value) is value
    secrets.read("TOKEN")
    assert secrets.scrub(value) == {"a": ["/home/someone", "key ***!"], "***": 1}


def test_the_env_file_is_scrubbed_from_the_start_but_for_plain_words(root: Path) -> None:
    (root / ".env").write_text("DEBUG=true\nPORT=8080\nDB_PASSWORD=hunter\nURL=postgres://u:p@h/db\nPIN_KEY=abc\n")
    text = "true 8080 hunter postgres://u:p@h/db abc"
    assert Secrets(root, environ={}).scrub(text) == "true 8080 *** *** abc"


def test_encoded_forms_are_scrubbed_too(root: Path) -> None:
    value = 'p"ss wörd/+\\'
    secrets = Secrets(root, environ={"X": value})
    secrets.read("X")
    encoded = base64.b64encode(value.encode()).decode()
    for form in (
        encoded,
        encoded.rstrip("="),
        "p%22ss%20w%C3%B6rd%2F%2B%5C",
        "p%22ss+w%C3%B6rd%2F%2B%5C",
        r"p\"ss w\u00f6rd/+\\",
        r"p\"ss wörd/+\\",
    ):
        assert secrets.scrub(f"<{form}>").startswith("<***"), form


@pytest.mark.parametrize(
    "form",
    [
        "p%22ss%20w%c3%b6rd%2f%2b%5c%27",
        "p\"ss w\\xc3\\xb6rd/+\\\\\\'",
        "p&quot;ss wörd/+\\&#x27;",
        "p&#34;ss wörd/+\\&#39;",
        "p\"ss wörd/+\\'".encode().hex(),
        "p\"ss wörd/+\\'".encode().hex().upper(),
    ],
)
def test_forms_of_urls_programs_and_pages_are_scrubbed(root: Path, form: str) -> None:
    secrets = Secrets(root, environ={"X": "p\"ss wörd/+\\'"})
    secrets.read("X")
    assert secrets.scrub(f"<{form}>") == "<***>"


def test_what_python_shows_of_a_secret_is_scrubbed(root: Path) -> None:
    value = "a\\b'c\"d\te"
    secrets = Secrets(root, environ={"X": value})
    secrets.read("X")
    for shown in (
        repr(value),
        ascii(value),
        repr(value.encode()),
        repr({"k": value}),
        repr("it's " + value),
        repr({"k": repr(value)}),
    ):
        assert "b'c" not in secrets.scrub(shown).replace("\\", "")
        assert "***" in secrets.scrub(shown)


WRAPPED = "0123456789abcdefghijklmnopqrstuvwxyz"


def wrapped(text: str, width: int, end: str) -> str:
    packed = base64.b64encode(text.encode()).decode()
    return end.join(packed[start : start + width] for start in range(0, len(packed), width)) + end


@pytest.mark.parametrize("before", range(20, 75, 5))
@pytest.mark.parametrize(("width", "end"), [(76, "\n"), (64, "\r\n"), (76, "\\n"), (64, "\n  ")])
def test_base64_over_several_lines_is_scrubbed(root: Path, before: int, width: int, end: str) -> None:
    secrets = Secrets(root, environ={"X": WRAPPED})
    secrets.read("X")
    text = f"begin: {wrapped('x' * before + WRAPPED + 'y' * 60, width, end)}done"
    clean = secrets.scrub(text)
    assert clean.count("***") == 1
    for size in (1, 5, 50, 1000):
        scrubber = secrets.scrubber()
        data = text.encode()
        parts = [scrubber.feed(data[start : start + size]) for start in range(0, len(data), size)]
        assert (b"".join(parts) + scrubber.finish()).decode() == clean


def test_secrets_that_are_expected_are_scrubbed_before_anybody_reads_them(root: Path) -> None:
    secrets = Secrets(root, environ={"TOKEN": "s3cr3t-value"})
    assert secrets.expect(["TOKEN", "GONE"]) == ["GONE"]
    assert secrets.scrub("s3cr3t-value") == "***"


def test_a_byte_order_mark_before_the_first_variable_is_skipped(root: Path) -> None:
    (root / ".env").write_bytes(b"\xef\xbb\xbfTOKEN=abc\n")
    assert read_env_file(root / ".env") == {"TOKEN": "abc"}


def test_a_pipe_is_read_when_a_program_writes_to_it(root: Path) -> None:
    os.mkfifo(root / ".env")
    writer = threading.Thread(target=lambda: (root / ".env").write_text("TOKEN=abc\n"))
    writer.start()
    assert read_env_file(root / ".env") == {"TOKEN": "abc"}
    writer.join(10)


def test_what_no_secret_can_be_read_from_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.actions.secrets.FIFO_PATIENCE", 0.05)
    os.mkfifo(root / "pipe")
    with pytest.raises(UsageError, match="no program writes to it"):
        read_env_file(root / "pipe")
    (root / "folder").mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        read_env_file(root / "folder")


@pytest.mark.parametrize("user", ["a", "ab", "abc", "x-token"])
@pytest.mark.parametrize("after", ["", "&more", "~~"])
def test_a_secret_within_a_longer_text_in_base64_is_scrubbed(root: Path, user: str, after: str) -> None:
    value = "hunter2-hunter2>?"
    secrets = Secrets(root, environ={"X": value})
    secrets.read("X")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = secrets.scrub(encode(f"{user}:{value}{after}".encode()).decode())
        around = (len(user) + 1 + len(after)) * 4 // 3
        assert "***" in shown
        assert len(shown.replace("***", "").rstrip("=")) <= around + 3, shown  # what is left is that of its neighbours


def test_a_secret_in_json_that_is_itself_a_text_in_json_is_scrubbed(root: Path) -> None:
    value = 'p"ss wörd\\'
    secrets = Secrets(root, environ={"X": value})
    secrets.read("X")
    for plain in (True, False):
        text = json.dumps({"log": json.dumps({"t": value}, ensure_ascii=plain)}, ensure_ascii=plain)
        assert json.loads(json.loads(secrets.scrub(text))["log"]) == {"t": "***"}


def test_a_secret_that_begins_with_another_goes_as_a_whole(root: Path) -> None:
    secrets = Secrets(root, environ={"A": "token", "B": "token-and-more"})
    secrets.read("A")
    secrets.read("B")
    assert secrets.scrub("token-and-more token") == "*** ***"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_scrubbed_however_it_is_cut(root: Path, size: int) -> None:
    secrets = Secrets(root, environ={"A": "s3cr3t-value", "B": "two\nlines"})
    secrets.read("A")
    secrets.read("B")
    text = b"s3cr3t-value, s3cr3t-s3cr3t-value two\ntwo\nlines s3cr3t"
    scrubber = secrets.scrubber()
    clean = b"".join(scrubber.feed(text[start : start + size]) for start in range(0, len(text), size)) + scrubber.finish()
    assert clean == b"***, s3cr3t-*** two\n*** s3cr3t"


def test_a_line_that_begins_no_secret_is_not_held_back(root: Path) -> None:
    secrets = Secrets(root, environ={"A": "s3cr3t-value"})
    secrets.read("A")
    assert secrets.scrubber().feed(b"a line\n") == b"a line\n"


def test_a_log_is_private_and_says_where_it_was_cut(make_around: Any, call: Any) -> None:
    around = make_around(log_limit=1000)
    for _ in range(30):
        around.log(call(), "stdout", "a line of some length\nand another")
    path = around.store / "logs" / "run.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < 1300
    assert [record["stream"] for record in around.records()].count("note") == 1
    assert "1000 bytes" in around.records()[-1]["text"]
