"""What `permissions` of a definition allow: rules on the parameters of an action. Pure.

An absent key allows nothing; of `models` it allows any. A shell script counts as `*`, and so does a host that is computed. `None`
in the parameters stands for what an expression computes: it is looked at again when the step is about to begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

ANY = "*"
_UNKNOWN = None
_HOST = re.compile(r"https?://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)(:\d+)?", re.IGNORECASE)


def task_problem(permissions: dict[str, Any], uses: str, params: Any) -> str | None:
    if not isinstance(params, dict):
        return None
    if uses == "shell":
        return _shell_problem(permissions.get("shell", ()), params)
    if uses == "python":
        fits = any(_function_fits(pattern, params.get("function")) for pattern in permissions.get("python", ()))
        return None if fits else f"the function {params.get('function')}"
    if uses == "http":
        return _http_problem(permissions.get("http", ()), params)
    if uses == "emit":
        name = params.get("event")
        fits = name is _UNKNOWN or any(_event_fits(pattern, name) for pattern in permissions.get("emit", ()))
        return None if fits else f"the event {name}"
    return models_problem(permissions, params) if uses in ("llm", "turn") else None


def models_problem(permissions: dict[str, Any], params: dict[str, Any]) -> str | None:
    allowed = permissions.get("models")
    if allowed is None:
        return None
    wanted = [params.get("model") or "default", *(params.get("fallback_models") or [])]
    refused = [model for model in wanted if isinstance(model, str) and not _any_fits(allowed, model)]
    return f"the model {refused[0]}" if refused else None


def secrets_problem(permissions: dict[str, Any], names: set[str]) -> str | None:
    refused = sorted(name for name in names if not _any_fits(permissions.get("secrets", ()), name))
    return f"the secret {refused[0]}" if refused else None


def _shell_problem(patterns: Iterable[Any], params: dict[str, Any]) -> str | None:
    patterns = list(patterns)
    if ANY in patterns:
        return None
    if "argv" not in params:
        return "a script"
    argv = params["argv"]
    if not isinstance(argv, list) or not argv:
        return None  # known when it is evaluated
    further = params.get("arguments", [])
    known = [*argv, *further] if isinstance(further, list) else argv
    open_ended = not isinstance(further, list)
    if any(_argv_fits(pattern, known, open_ended=open_ended) for pattern in patterns):
        return None
    shown = " ".join("..." if word is _UNKNOWN else str(word) for word in argv)
    return f"the program {shown}"


def _argv_fits(pattern: Any, argv: list[Any], *, open_ended: bool) -> bool:
    """`open_ended`: further arguments follow, which are not known."""
    words = [pattern, ANY] if isinstance(pattern, str) else list(pattern)
    has_tail = bool(words) and words[-1] == ANY
    fixed = words[:-1] if has_tail else words
    if len(argv) < len(fixed) or (not has_tail and (len(argv) > len(fixed) or open_ended)):
        return False
    return all(word is _UNKNOWN or str(word) == want for word, want in zip(argv, fixed, strict=False))


def _http_problem(hosts: Iterable[str], params: dict[str, Any]) -> str | None:
    hosts = list(hosts)
    if ANY in hosts:
        return None
    walls = params.get("walls")
    if walls is not None:
        refused = [entry for entry in walls["hosts"] if not any(_host_covers(host, entry) for host in hosts)]
        return f"the host {refused[0]}" if refused else None
    url = params.get("url")
    match = _HOST.match(url) if isinstance(url, str) else None
    if match is None:
        return "a host that an expression computes"
    host, port = match[1].lower().rstrip("."), match[2] or ""
    return None if any(_host_covers(entry, host + port) for entry in hosts) else f"the host {host}{port}"


def _host_covers(entry: str, host: str) -> bool:
    """`h` covers itself with any port, `h:port` just that, `*.h` what ends so."""
    entry, host = entry.lower(), host.lower()
    name = host if ":" in entry.rpartition("]")[2] else re.sub(r":\d+$", "", host)
    if entry.startswith("*."):
        return name.endswith(entry[1:]) and name != entry
    return name == entry


def _function_fits(pattern: str, function: Any) -> bool:
    return pattern in (ANY, function) or (pattern.endswith(":*") and str(function).startswith(pattern[:-1]))


def _event_fits(pattern: str, name: str) -> bool:
    wanted, parts = pattern.split("."), str(name).split(".")
    return pattern == ANY or (len(wanted) == len(parts) and all(w in (ANY, p) for w, p in zip(wanted, parts, strict=True)))


def _any_fits(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def skill_problem(permissions: dict[str, Any], name: str) -> str | None:
    return None if _any_fits(permissions.get("skills", ()), name) else f"the skill {name}"
