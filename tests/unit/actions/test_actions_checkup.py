"""What `doctor` says of models and of the files that hold secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentctl.actions.checkup import examine_models, examine_secrets
from agentctl.actions.secrets import Secrets


def models(root: Path, configured: dict, *, needed: bool = True, **environ: str) -> dict[str, tuple[str, str]]:
    secrets = Secrets(root, ("env",), environ)
    return {finding.check: (finding.status, finding.fix) for finding in examine_models(configured, secrets, needed=needed)}


def test_a_model_with_its_key_is_ok(tmp_path):
    assert models(tmp_path, {"default": "openai/gpt-5-mini"}, OPENAI_API_KEY="k" * 20) == {"models.default": ("ok", "")}


def test_a_missing_key_is_a_warning_that_names_the_variable(tmp_path):
    status, fix = models(tmp_path, {"default": {"model": "anthropic/claude"}})["models.default"]
    assert status == "warning"
    assert fix.startswith("set ANTHROPIC_API_KEY")


def test_no_default_model_matters_only_where_one_is_called(tmp_path):
    assert models(tmp_path, {}, needed=False)["models.default"] == ("ok", "")
    status, fix = models(tmp_path, {})["models.default"]
    assert status == "warning"
    assert "models: {default:" in fix


def test_every_alias_is_looked_at(tmp_path):
    found = models(tmp_path, {"default": "ollama/q", "cheap": "mistral/small", "odd": {"api_base": "http://x"}})
    assert {check: status for check, (status, _) in found.items()} == {
        "models.default": "ok",
        "models.cheap": "warning",
        "models.odd": "warning",
    }
    assert all(fix for status, fix in found.values() if status == "warning")


@pytest.mark.parametrize(("mode", "status"), [(0o600, "ok"), (0o400, "ok"), (0o640, "warning"), (0o644, "warning")])
def test_a_file_of_secrets_that_others_can_read_is_a_warning(tmp_path, mode, status):
    file = tmp_path / ".env"
    file.write_text("KEY=value\n")
    file.chmod(mode)
    (finding,) = examine_secrets(tmp_path, {})
    assert finding.status == status
    assert finding.fix == ("" if status == "ok" else f"chmod 600 {file}")


def test_credentials_of_systemd_are_looked_at_too(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "TOKEN").write_text("x")
    (folder / "TOKEN").chmod(0o644)
    findings = list(examine_secrets(tmp_path, {"CREDENTIALS_DIRECTORY": str(folder)}))
    assert [(finding.check, finding.status) for finding in findings] == [
        ("secrets.env", "ok"),
        ("secrets.credentials", "warning"),
    ]


def test_a_credentials_folder_that_is_not_there_is_a_warning(tmp_path):
    finding = list(examine_secrets(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "gone")}))[-1]
    assert finding.status == "warning"
    assert "LoadCredential" in finding.fix
