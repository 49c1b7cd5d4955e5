"""What `agentctl doctor` reports about the installation: Python and the packages that agentctl needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

from agentctl.ports import Finding

OLDEST_PYTHON = (3, 11)

# The oldest release of each that will do, as in pyproject.toml.
OLDEST = {
    "typer": "0.29", "rich": "15.0", "ruamel.yaml": "0.19.1", "ruamel.yaml.clib": "0.2.15", "jsonschema": "4.26",
    "sqlite-utils": "4.2.1", "litellm": "1.105.2", "croniter": "7.0", "cron-descriptor": "2.0", "google-re2": "1.1",
    "tzdata": "2026.1", "jinja2": "3.1.6", "msgspec": "0.22", "httpx2": "2.16", "httpcore2": "2.16",
}  # fmt: skip
MALICIOUS = {"litellm": ("1.82.7", "1.82.8", "1.107.0")}
BROKEN = {"litellm": ("1.106.0", "1.106.1", "1.106.2")}  # tool calls


def examine(installed: Callable[[str], str] = metadata.version) -> Iterator[Finding]:
    """Check Python and the packages. `installed`: package -> its version; raises PackageNotFoundError."""
    yield _python()
    wrong = [finding for name in OLDEST if (finding := _package(name, installed)) is not None]
    yield from wrong
    if not wrong:
        yield Finding("dependencies", "ok", f"all {len(OLDEST)} packages are installed and new enough")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Finding("python", "error", f"Python {version} is too old", f"install agentctl with Python {wanted} or newer")
    return Finding("python", "ok", f"Python {version}, {sys.executable}")


def _package(name: str, installed: Callable[[str], str]) -> Finding | None:
    """Return what is wrong with a package; None: nothing."""
    check = f"dependencies.{name}"
    upgrade = f"{sys.executable} -m pip install --upgrade '{name}>={OLDEST[name]}'"
    try:
        version = installed(name)
    except metadata.PackageNotFoundError:
        return Finding(check, "error", f"the package {name} is missing", upgrade)
    if version in MALICIOUS.get(name, ()):
        remove = f"{sys.executable} -m pip uninstall {name}"
        fix = f"remove it at once ({remove}), replace every key that was readable on this machine, then install another version"
        return Finding(check, "error", f"{name} {version} was published with malicious code", fix)
    if version in BROKEN.get(name, ()):
        return Finding(check, "error", f"{name} {version} breaks tool calls of models", upgrade + f" '{name}!={version}'")
    if _numbers(version) < _numbers(OLDEST[name]):
        return Finding(check, "error", f"{name} {version} is too old, {OLDEST[name]} is needed", upgrade)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Read `1.106.0rc1` as (1, 106, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match.group().split("."))) if match else ()
