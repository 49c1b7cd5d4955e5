"""What litellm raises, as our error types. By status code first: its classes follow the wording of a message."""

from __future__ import annotations

import re
import time
from typing import Any

from agentctl.actions.http import retry_after
from agentctl.errors import ActionError

# A client that was given no key says so in a 500, and an empty purse comes as an ordinary 429. No retry helps with either.
_NO_KEY = re.compile(r"api_key client option|missing credentials|missing .{0,30}api.?key|no api.?key", re.IGNORECASE)
_NO_PROVIDER = "LLM Provider NOT provided"
_NO_MONEY = re.compile(r"insufficient_quota|exceeded your current quota|credit balance is too low", re.IGNORECASE)


def translate(error: Exception, model: str) -> ActionError:
    """The ActionError for what a call of `model` raised."""
    text = _sentence(error)
    status = _status(error)
    kind = _kind(status, text, type(error).__name__)
    wait = retry_after(_headers(error), time.time()) if kind in ("llm.rate_limit", "llm.unavailable") else None
    data: dict[str, Any] = {"model": model, "status": status}
    return ActionError(kind, f"{model}: {text}", data, retry_after=wait)


def _kind(status: int | None, text: str, name: str) -> str:
    if status in (401, 403) or _NO_KEY.search(text) or (status in (402, 429) and _NO_MONEY.search(text)):
        return "llm.auth"
    if status == 429:
        return "llm.rate_limit"
    if name == "JSONSchemaValidationError" or (status is not None and 400 <= status < 500 and status not in (408, 409, 425)):
        return "llm.bad_request"
    return "llm.unavailable"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _status(error: Exception) -> int | None:
    """The code of the innermost error that has one: what the server said, before it was interpreted."""
    codes = [code for link in _chain(error) if isinstance(code := getattr(link, "status_code", None), int)]
    return codes[-1] if codes else None


def _headers(error: Exception) -> dict[str, str]:
    for link in _chain(error):
        headers = getattr(getattr(link, "response", None), "headers", None)
        if headers and "retry-after" in headers:
            return {name.lower(): value for name, value in headers.items()}
    return {}


def _sentence(error: Exception) -> str:
    """One line, without the names of classes that litellm puts in front."""
    text = " ".join(str(error).split())
    if _NO_PROVIDER in text:
        return "this is no alias under `models:` in agentctl.yaml, and it names no provider; write PROVIDER/MODEL"
    return (
        re.sub(r"^(litellm\.)?(\w+Error: |\w+Exception( - |: ))+", "", re.sub(r"litellm\.", "", text))[:500]
        or type(error).__name__
    )
