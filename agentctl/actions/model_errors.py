"""What litellm raises, as our error types. The status code decides first: litellm's classes follow the wording of a message."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from agentctl import JSON
from agentctl.actions.causes import cause, chain, was_not_made
from agentctl.actions.http import retry_after
from agentctl.errors import ActionError, ErrorOutcome

# A client that was given no key says so in a 500, and exhausted credit comes as an ordinary 429. No retry helps with either.
_NO_KEY = re.compile(r"api_key client option|missing credentials|missing .{0,30}api.?key|no api.?key", re.IGNORECASE)
_NO_PROVIDER = "LLM Provider NOT provided"
_NO_MONEY = re.compile(r"insufficient_quota|exceeded your current quota|credit balance is too low", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|context (window|length|size)|prompt is too long|input is too long",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content_filter|content management policy|content policy", re.IGNORECASE)
_TRACEBACK = "Traceback (most recent call last)"
_REPEATED = " Original exception: "  # what follows is the same text again, with more class names
_LONGEST = 500  # characters of a provider's message
_CLASS = r"(litellm\.)?(\w+Error: |\w+Exception( - |: ))+"


def translate(error: Exception, model: str, scrub: Callable[[JSON], JSON]) -> ActionError:
    """The ActionError for what a call of `model` raised. `scrub`: masks secrets, before the text is cut."""
    text = str(scrub(_sentence(error)))[:_LONGEST]
    status = _status(error)
    kind = _kind(status, text, {type(link).__name__ for link in chain(error)})
    wait = retry_after(_headers(error), time.time()) if kind in ("llm.rate_limit", "llm.unavailable") else None
    data: dict[str, Any] = {"model": model, "status": status}
    outcome = _outcome(error, status)
    # A server that is overloaded has not spent anything; of other answers that are lost nobody knows what they cost.
    usage: dict[str, Any] | None = {"model": model} if outcome == "unknown" and status in (503, 529) else None
    return ActionError(kind, f"{model}: {text}", data, retry_after=wait, usage=usage, outcome=outcome)


def _outcome(error: Exception, status: int | None) -> ErrorOutcome:
    """What is known of the call: a gateway's answer, an unreadable one and a connection that was lost say nothing of it."""
    if was_not_made(error):
        return "not_begun"
    is_late = any(isinstance(link, TimeoutError) for link in chain(error))
    lost = is_late or "Connection error" in str(error) or _TRACEBACK in str(error)
    return "unknown" if lost or status in (502, 503, 504, 529) else "answered"


def _kind(status: int | None, text: str, names: set[str]) -> str:
    if status in (401, 402, 403) or _NO_KEY.search(text) or (status == 429 and _NO_MONEY.search(text)):
        return "llm.auth"
    if status == 429:
        return "llm.rate_limit"
    refused = status is not None and 400 <= status < 500 and status not in (408, 409, 425)
    if refused and ("ContextWindowExceededError" in names or _TOO_LONG.search(text)):
        return "llm.context"
    if refused and ("ContentPolicyViolationError" in names or _FILTERED.search(text)):
        return "llm.refused"
    return "llm.bad_request" if refused or "JSONSchemaValidationError" in names else "llm.unavailable"


def _status(error: Exception) -> int | None:
    """The code of the innermost error that has one: what the server said, before it was interpreted."""
    codes = [code for link in chain(error) if isinstance(code := getattr(link, "status_code", None), int)]
    return codes[-1] if codes else None


def _headers(error: Exception) -> dict[str, str]:
    for link in chain(error):
        headers = getattr(getattr(link, "response", None), "headers", None)
        if headers and "retry-after" in headers:
            return {name.lower(): value for name, value in headers.items()}
    return {}


def _sentence(error: Exception) -> str:
    """One line that says what went wrong, without litellm's class names, tracebacks and advice for its own developers."""
    text = str(error)
    if _NO_PROVIDER in text:
        return "this is no alias under `models:` in agentctl.yaml, and it names no provider; write PROVIDER/MODEL"
    if _TRACEBACK in text:
        return f"the server's answer cannot be read as a chat completion{_detail(error)}"
    plain = re.sub(f"^{_CLASS}", "", re.sub(r"litellm\.", "", " ".join(text.partition(_REPEATED)[0].split())))
    if plain.rstrip(".") == "Connection error":
        return f"no answer: {cause(error)}"
    return plain or type(error).__name__


def _detail(error: Exception) -> str:
    """What was wrong in an answer: the innermost error, as far as it is short."""
    innermost = chain(error)[-1]
    if isinstance(innermost, KeyError):
        return f": it has no {innermost.args[0]!r}"
    lines = [line.strip() for line in str(innermost).splitlines() if line.strip()]
    if type(innermost).__name__ == "ValidationError" and len(lines) > 2:  # of pydantic: a head, then a place and a reason each
        return f": {lines[1]}: {lines[2].partition(' [type=')[0]}"
    return f": {lines[0]}" if lines and "Traceback" not in str(innermost) else ""
