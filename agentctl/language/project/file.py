"""What `agentctl.yaml` says, or everything that is wrong with it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from agentctl.errors import DefinitionInvalid
from agentctl.expressions.duration import parse_duration
from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.formats import zone_flaw
from agentctl.language.problems import in_order
from agentctl.language.project import SOURCES
from agentctl.language.project.models import check_model
from agentctl.language.yaml.reader import Source, read_file
from agentctl.language.yaml.tree import Path as KeyPath

_KEYS = ("store", "models", "vars", "secrets", "policy", "retention", "timezone")
_PUBLISH = ("review", "auto")
SHORTEST_RETENTION = 3600.0  # seconds: anything shorter is a slip of the pen


def read_project(file: Path) -> tuple[dict[str, Any], str]:
    """What the file says, and the SHA-256 of its bytes in hex. Raises DefinitionInvalid."""
    source = read_file(file)
    if source.root is None and [problem.code for problem in source.problems] == ["empty"]:
        return {}, source.digest
    if source.root is not None:
        _check(source)
    if any(problem.severity == "error" for problem in source.problems):
        raise DefinitionInvalid(in_order(source.problems))
    data: dict[str, Any] = source.data
    return data, source.digest


def _check(source: Source) -> None:
    """Looked at by hand: a schema library would cost every command of the CLI 70 ms."""
    data = source.data
    if not _mapping(source, (), data, "agentctl.yaml", _KEYS):
        return
    for key, value in data.items():
        _no_expressions(source, (key,), dict.fromkeys(value) if key == "models" and isinstance(value, dict) else value)
    if not isinstance(data.get("store"), str | None):
        source.report(source.at(("store",)), "wrong-type", "'store' has to be the path of a file")
    _mapping(source, ("vars",), data.get("vars"), "'vars'")
    if _mapping(source, ("models",), data.get("models"), "'models'"):
        for alias, model in data["models"].items():
            check_model(source, ("models", alias), alias, model)
    if _mapping(source, ("secrets",), data.get("secrets"), "'secrets'", ("from",)):
        _choices(source, ("secrets", "from"), data["secrets"].get("from", []), SOURCES)
    if data.get("retention") is not None:
        _retention(source, data["retention"])
    if data.get("timezone") is not None:
        _timezone(source, data["timezone"])
    if _mapping(source, ("policy",), data.get("policy"), "'policy'", ("agents", "http")):
        _policy(source, data["policy"])


def _no_expressions(source: Source, path: KeyPath, value: Any) -> None:
    """Report expressions in texts and keys: only the settings of models may hold `${{ secrets.NAME }}`."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and "${{" in key:
                source.report(source.at((*path, key)), "expression-here", f"a key in agentctl.yaml takes no expression: {key}")
            _no_expressions(source, (*path, key), item)
    elif isinstance(value, str) and "${{" in value.replace("$${{", ""):
        place = source.inside(path, value.index("${{"))
        message = f"'{path[0]}' in agentctl.yaml takes no expression; only the settings of 'models' take ${{{{ secrets.NAME }}}}"
        source.report(place, "expression-here", message)


def _mapping(source: Source, path: KeyPath, value: Any, name: str, keys: tuple[str, ...] | None = None) -> bool:
    """True when there is a mapping to look into; reports another type, and keys it does not take."""
    if value is None and path:
        return False
    if not isinstance(value, dict):
        source.report(source.at(path), "wrong-type", f"{name} has to be a mapping of keys and values")
        return False
    for key in value:
        if keys is not None and key not in keys:
            hint = did_you_mean(key, keys) or f"; it takes {', '.join(keys)}"
            source.report(source.at((*path, key)), "unknown-key", f"unknown key '{key}' in {name}{hint}")
    return True


def _choices(source: Source, path: KeyPath, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, list):
        source.report(source.at(path), "wrong-type", f"'{path[-1]}' has to be a list of: {', '.join(choices)}")
        return
    for index, item in enumerate(value):
        if item not in choices:
            hint = did_you_mean(str(item), choices)
            source.report(source.at((*path, index)), "wrong-value", f"'{item}' is not one of {', '.join(choices)}{hint}")


def _retention(source: Source, value: Any) -> None:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else 0.0
    except ValueError:
        seconds = 0.0
    if seconds < SHORTEST_RETENTION:
        message = f"'retention' has to be a duration of 1h or more, such as 90d, not {value!r}"
        source.report(source.at(("retention",)), "wrong-value", message)


def _timezone(source: Source, value: Any) -> None:
    flaw = zone_flaw(value) if isinstance(value, str) else f"'timezone' has to be a name such as Europe/Berlin, not {value!r}"
    if flaw:
        source.report(source.at(("timezone",)), "bad-time-zone", flaw)


def _policy(source: Source, policy: dict[str, Any]) -> None:
    if _mapping(source, ("policy", "agents"), policy.get("agents"), "'agents'", ("publish",)):
        publish = policy["agents"].get("publish", "review")
        if publish not in _PUBLISH:
            place = source.at(("policy", "agents", "publish"))
            source.report(place, "wrong-value", f"'publish' has to be review or auto{did_you_mean(str(publish), _PUBLISH)}")
    if _mapping(source, ("policy", "http"), policy.get("http"), "'http'", ("deny",)):
        deny = policy["http"].get("deny", [])
        for index, network in enumerate(deny if isinstance(deny, list) else [deny]):
            if not _is_network(network):
                path: KeyPath = ("policy", "http", "deny", index) if isinstance(deny, list) else ("policy", "http", "deny")
                message = f"'deny' takes a list of networks such as 169.254.0.0/16, not {network!r}"
                source.report(source.at(path), "wrong-value", message)


def _is_network(value: Any) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return isinstance(value, str)
