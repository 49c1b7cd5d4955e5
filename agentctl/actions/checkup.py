"""The findings of `agentctl doctor` on models and secrets: is each model's key there, are the files with secrets private?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from agentctl.actions.models import DEFAULT, resolve
from agentctl.actions.secrets import Secrets
from agentctl.errors import ActionError
from agentctl.ports import Finding


def examine_models(models: Mapping[str, Any], secrets: Secrets, *, needed: bool) -> Iterator[Finding]:
    """`needed`: whether a definition of the project calls a model. A missing key is a warning: a fallback may do without."""
    if DEFAULT not in models:
        if needed:
            yield Finding(
                "models.default",
                "warning",
                "definitions call a model, and agentctl.yaml says no default one: steps that name none will fail",
                "add `models: {default: PROVIDER/MODEL}` to agentctl.yaml",
            )
        else:
            yield Finding("models.default", "ok", "no default model is configured, and no definition calls one")
    for alias in models:
        try:
            model = resolve(alias, models, secrets.get)
        except ActionError as error:
            # After the colon the sentence says what to do about it.
            message, _, fix = error.message.partition(": ")
            yield Finding(f"models.{alias}", "warning", message, fix.rstrip(".") or "name the model in agentctl.yaml")
        else:
            yield Finding(f"models.{alias}", "ok", model.name)


def examine_secrets(root: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The files that secrets are read from: the project's `.env`, systemd's credentials."""
    file = root / ".env"
    if file.exists():
        yield _private("secrets.env", file)
    else:
        yield Finding("secrets.env", "ok", "the project has no .env")
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    if not os.path.isdir(folder):
        fix = "let systemd set CREDENTIALS_DIRECTORY (LoadCredential=), or unset it"
        yield Finding("secrets.credentials", "warning", f"CREDENTIALS_DIRECTORY is {folder}, which is not a folder", fix)
        return
    for credential in sorted(Path(folder).iterdir()):
        if credential.is_file():
            yield _private("secrets.credentials", credential)


def _private(check: str, file: Path) -> Finding:
    if not file.is_file():
        return Finding(
            check, "warning", f"{file} is not a file, so no secret is read from it", f"make {file} a file of NAME=value lines"
        )
    if not os.access(file, os.R_OK):
        return Finding(check, "warning", f"{file} cannot be read", f"chmod u+r {quote(str(file))}, or make it your own")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        return Finding(check, "warning", f"others can read {file} (mode {mode:04o})", f"chmod 600 {quote(str(file))}")
    return Finding(check, "ok", f"only you can read {file}")
