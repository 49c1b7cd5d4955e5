"""What a model gives to a tool goes through its walls: forty hostile requests, and the harmless ones beside them."""

from __future__ import annotations

import pytest
from httpx2 import URL

from agentctl.actions.walls import check_arguments, check_event, check_url
from agentctl.errors import ActionError

HOSTS = ["api.example.com", "desk.example:8443", "*.cdn.example", "127.0.0.1:8080", "[::1]:9000", "bücher.example"]
WALLS = {"hosts": HOSTS, "paths": ["/v1/*", "/status"], "local": False}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "project/logs").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "project/escape").symlink_to(tmp_path / "outside")
    (tmp_path / "project/loop").symlink_to("loop")
    (tmp_path / "project/inside").symlink_to("logs")
    return tmp_path / "project"


@pytest.mark.parametrize(
    "argument",
    [
        "-rf", "--upload-pack=x", "-", "--", "-o=logs",
        "/etc/passwd", "//etc/passwd", "../secrets", "logs/../../secrets", "..", "logs/../..",
        "escape", "escape/file", "logs/../escape/x", "inside/../../outside",
        "out=/etc/passwd", "if=../x", "key=escape/y", "=/etc/passwd",
        "a\nb", "a\x00b", "\x1b[31m", "tab\there", "\x7f", "\x85",
    ],
)  # fmt: skip
def test_an_argument_that_could_do_more_than_its_tool_is_refused(root, argument):
    with pytest.raises(ActionError) as refused:
        check_arguments([argument], root, root)
    assert (refused.value.type, refused.value.outcome) == ("permission.denied", "not_begun")


@pytest.mark.parametrize(
    "argument",
    ["HEAD", "a b", "logs/api.log", "logs/../logs", "inside/x", "a=b", "a=b=/c", "$(id)", "; rm -rf /", "", "*", "über"],
)
def test_an_argument_that_is_a_text_or_a_path_of_the_project_is_taken(root, argument):
    assert check_arguments([argument], root, root) == [argument]


def test_a_path_is_taken_from_the_folder_that_the_program_runs_in(root):
    assert check_arguments(["../logs"], root / "logs", root) == ["../logs"]
    with pytest.raises(ActionError, match="leads out"):
        check_arguments(["../../outside"], root / "logs", root)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://api.example.com/v1/x", "gopher://api.example.com/v1/x",
        "http://user@api.example.com/v1/x", "http://user:pw@api.example.com/v1/x", "http://api.example.com@evil.example/v1/x",
        "http://evil.example/v1/x", "http://api.example.com.evil.example/v1/x", "http://evilapi.example.com/v1/x",
        "http://api.example.com:22/v1/x", "http://desk.example/v1/x", "http://desk.example:8444/v1/x",
        "http://cdn.example/v1/x", "http://xcdn.example/v1/x",
        "http://127.0.0.1/v1/x", "http://127.0.0.1:8081/v1/x", "http://localhost:8080/v1/x", "http://0.0.0.0:8080/v1/x",
        "http://[::1]/v1/x", "http://[::ffff:10.0.0.1]:8080/v1/x", "http://169.254.169.254/v1/x",
        "http://2130706434:8080/v1/x", "http://0x7f000002:8080/v1/x",
        "http://api.example.com/admin", "http://api.example.com/v1", "http://api.example.com/v10/x",
        "http://api.example.com/v1/%2e%2e/admin", "http://api.example.com/v1/..%2fadmin", "http://api.example.com/v1/%252e%252e/x",
        "http://api.example.com/v1/..%5cadmin", "http://api.example.com/v1/a%0d%0aHost:x", "http://api.example.com/statusx",
    ],
)  # fmt: skip
def test_a_request_to_elsewhere_is_refused(url):
    with pytest.raises(ActionError) as refused:
        check_url(URL(url), WALLS)
    assert refused.value.type == "permission.denied"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1/x", "https://API.example.com./v1/x?q=../..", "https://desk.example:8443/status",
        "http://a.b.cdn.example/v1/x", "http://127.0.0.1:8080/v1/x", "http://2130706433:8080/v1/x", "http://127.1:8080/v1/x",
        "http://[::1]:9000/v1/x", "http://xn--bcher-kva.example/v1/x", "http://bücher.example/v1/a%20b",
    ],
)  # fmt: skip
def test_a_request_to_a_listed_host_and_path_is_sent(url):
    check_url(URL(url), WALLS)


@pytest.mark.parametrize("name", ["incident", "incident.a.b", "other.a", "", None, 7, "agentctl.run.failed"])
def test_an_event_that_is_not_listed_is_refused(name):
    with pytest.raises(ActionError):
        check_event(name, {"events": ["incident.*", "done"]})
    check_event("incident.opened", {"events": ["incident.*", "done"]})
    check_event("done", {"events": ["incident.*", "done"]})
