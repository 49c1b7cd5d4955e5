"""`agentctl service`: the unit file, written where systemd looks, never over a changed one."""

from __future__ import annotations

import os
import sys


def installed(agentctl, tmp_path, *options: str):
    return agentctl("service", "install", "--user", *options, env={"XDG_CONFIG_HOME": str(tmp_path / "config")})


def test_print_shows_the_unit_of_this_project(agentctl, project):
    result = agentctl("service", "print")
    assert result.code == 0
    assert f"WorkingDirectory={project.root}" in result.out
    assert "Type=notify" in result.out
    document = agentctl("service", "print", "--json").json
    assert document["unit"] == "agentctl-project.service"
    assert document["path"] == "/etc/systemd/system/agentctl-project.service"
    assert document["text"] == result.out


def test_the_service_runs_the_agentctl_that_wrote_it_with_its_store(agentctl, project, tmp_path):
    text = agentctl("service", "print", "--db", tmp_path / "other.db", "--listen", "127.0.0.1:8420").out
    [command] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert os.path.dirname(sys.executable) in command
    assert command.endswith(f"serve --grace 30s --db {tmp_path}/other.db --listen 127.0.0.1:8420")
    assert f"ReadWritePaths={project.root} {tmp_path}\n" in text


def test_the_store_of_the_environment_is_the_store_of_the_service(agentctl, project, tmp_path):
    text = agentctl("service", "print", env={"AGENTCTL_DB": str(tmp_path / "other.db")}).out
    assert f"serve --grace 30s --db {tmp_path}/other.db\n" in text
    assert f"ReadWritePaths={project.root} {tmp_path}\n" in text


def test_a_store_beside_the_project_may_be_written(agentctl, project):
    (project.root / "agentctl.yaml").write_text("store: ../stores/agentctl.db\n")
    text = agentctl("service", "print").out
    assert f"ReadWritePaths={project.root} {project.root.parent.resolve()}/stores\n" in text


def test_install_writes_the_file_and_says_what_to_do_next(agentctl, tmp_path):
    result = installed(agentctl, tmp_path)
    file = tmp_path / "config" / "systemd" / "user" / "agentctl-project.service"
    assert result.code == 0
    assert file.read_text() == agentctl("service", "print", "--user").out
    assert "systemctl --user enable --now agentctl-project" in result.err
    assert "already" in installed(agentctl, tmp_path).err


def test_a_changed_unit_is_replaced_only_when_told(agentctl, tmp_path):
    installed(agentctl, tmp_path)
    file = tmp_path / "config" / "systemd" / "user" / "agentctl-project.service"
    file.write_text(file.read_text() + "# mine\n")
    refused = installed(agentctl, tmp_path)
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert file.read_text().endswith("# mine\n")
    document = installed(agentctl, tmp_path, "--force", "--json").json
    assert (document["change"], file.read_text()) == ("replaced", document["text"])


def test_what_makes_no_sense_is_told(agentctl):
    assert "did you mean" in agentctl("service", "instal").err
    assert agentctl("service", "print", "--listen", "nowhere").code == 2
