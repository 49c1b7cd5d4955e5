"""The systemd unit: what stands in it, and what systemd itself thinks of it where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from agentctl.service.systemd.unit import GRACE, Described, install_commands, unit

PLAIN = Described(
    root=Path("/srv/shop loops"),
    store=Path("/srv/shop loops/.agentctl"),
    command=["/opt/agentctl/bin/agentctl"],
    account="loops",
)
analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def changed(**changes) -> Described:
    return msgspec.structs.replace(PLAIN, **changes)


def settings(described: Described) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z]+)=(.*)$", unit(described), re.MULTILINE))


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_serve_is_watched_restarted_and_stopped_with_its_grace():
    found = settings(PLAIN)
    assert found["ExecStart"] == "/opt/agentctl/bin/agentctl serve --grace 30s"
    assert (found["Type"], found["NotifyAccess"], found["Restart"]) == ("notify", "main", "on-failure")
    assert found["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert found["WorkingDirectory"] == "/srv/shop loops"
    assert found["KillMode"] == "mixed"
    assert seconds(found["TimeoutStopSec"]) > GRACE + 10, "10 s after TERM a step is killed; what became of it is written then"
    assert PLAIN.name == "agentctl-shop-loops"


def test_words_that_systemd_would_read_otherwise_are_escaped():
    strange = changed(root=Path('/srv/50% "off" $HOME'), command=["/opt/a b/agentctl"], options=["--db", "/x/$y%z"])
    found = settings(strange)
    assert found["ExecStart"] == '"/opt/a b/agentctl" serve --grace 30s --db /x/$$y%%z'
    assert found["WorkingDirectory"] == '/srv/50%% "off" $HOME'
    assert found["ReadWritePaths"].startswith('"/srv/50%% \\"off\\" $HOME" ')
    with pytest.raises(ValueError, match="line break"):
        unit(changed(root=Path("/srv/a\nExecStartPre=/bin/evil")))
    with pytest.raises(ValueError, match="backslash at its end"):
        unit(changed(root=Path("/srv/a\\")))


def test_homes_are_closed_unless_the_project_or_python_lies_in_one():
    assert settings(PLAIN)["ProtectHome"] == "yes"
    assert settings(changed(root=Path("/home/ann/loops")))["ProtectHome"] == "read-only"
    assert settings(changed(uses=[Path("/root/.venv")]))["ProtectHome"] == "read-only"


def test_a_store_outside_the_project_may_be_written_to():
    assert settings(PLAIN)["ReadWritePaths"] == '"/srv/shop loops"'
    assert settings(changed(store=Path("/var/lib/shop")))["ReadWritePaths"] == '"/srv/shop loops" /var/lib/shop'


def test_a_unit_of_a_user_has_nothing_that_takes_privileges():
    found = settings(changed(user=True))
    assert found["WantedBy"] == "default.target"
    assert {"User", "CapabilityBoundingSet", "ProtectSystem", "PrivateDevices", "LoadCredential"} & set(found) == set()
    assert found["NoNewPrivileges"] == "yes"
    assert "systemctl --user enable --now agentctl-shop-loops" in install_commands(changed(user=True))


def written(tmp_path: Path, described: Described) -> Path:
    """With a program and a user that are there, for systemd-analyze looks for both."""
    real = msgspec.structs.replace(described, command=["/bin/true"], account="root", root=tmp_path)
    file = tmp_path / "agentctl-real.service"
    file.write_text(unit(real).replace("User=root\n", ""))
    return file


@analyze
def test_systemd_finds_nothing_wrong_with_it(tmp_path):
    done = subprocess.run(
        ["systemd-analyze", "verify", str(written(tmp_path, PLAIN))], capture_output=True, text=True, timeout=60
    )
    assert [line for line in (done.stdout + done.stderr).splitlines() if "agentctl-real" in line] == []


@analyze
def test_systemd_grades_its_hardening_as_good(tmp_path):
    file = written(tmp_path, PLAIN)
    file.write_text(file.read_text().replace("[Service]\n", "[Service]\nUser=loops\n"))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)], capture_output=True, text=True, timeout=60
    )
    grade = re.search(r"exposure level for .*: ([\d.]+) (\w+)", done.stdout)
    assert float(grade[1]) <= 2.0, done.stdout
    assert grade[2] == "OK"
