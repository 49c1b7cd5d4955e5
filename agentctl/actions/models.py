"""What a step calls a model, made into what litellm takes: aliases of the project file, their settings, API keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from agentctl import JSON
from agentctl.errors import ActionError

ReadKey = Callable[[str], str | None]

DEFAULT = "default"
NO_KEY = "none"  # for servers that ask for no key: clients insist on some text

# The variables with each provider's key. A missing key is reported without importing litellm. Providers that are not listed
# (clouds with credentials of their own, local servers) are left to litellm.
KEYS: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY"),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
}
_BARE = {"gpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai", "chatgpt-": "openai", "claude-": "anthropic"}
_SECRET = re.compile(r"secrets\.([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float


@dataclass(frozen=True)
class Model:
    """One model as a call uses it.

    `name`: as litellm knows it.
    `options`: more arguments for litellm (api_base, api_key ...).
    `supports_schema`: True or False when the project file says so, None to ask litellm.
    `price`: the project file's; `server` to believe the cost that the server reports; None for litellm's own table.
    `context`: tokens that fit into a request, None when the project file does not say.
    `cache`: whether the prompt may be cached by the provider.
    `stream`: whether the answer is asked for in pieces.
    `tool_calls`: how an agent asks for calls, None for what litellm knows.
    """

    name: str
    options: dict[str, JSON]
    supports_schema: bool | None = None
    price: Price | Literal["server"] | None = None
    context: int | None = None
    cache: bool = True
    stream: bool = False
    tool_calls: Literal["native", "schema"] | None = None


def resolve(wanted: str | None, models: Mapping[str, JSON], read_key: ReadKey) -> Model:
    """Find the model of an alias or of a litellm name.

    Raises llm.auth when none is configured, its key or a secret of its entry is missing or cannot be sent, and llm.bad_request
    for an `api_base` that is no address.
    """
    if wanted is None and DEFAULT not in models:
        raise ActionError(
            "llm.auth",
            "No model is configured: add `models: {default: PROVIDER/MODEL}` to agentctl.yaml, or name a `model` in the step.",
        )
    alias = wanted or DEFAULT
    entry = models.get(alias, alias)
    options: dict[str, Any] = {"model": entry} if isinstance(entry, str) else dict(entry)
    name = options.pop("model", None)
    if not isinstance(name, str):
        raise ActionError("llm.auth", f"The model {alias!r} in agentctl.yaml lacks its `model: PROVIDER/MODEL`.")
    settings = {key: options.pop(key, None) for key in ("supports_schema", "context", "tool_calls")}
    price, cache, stream = options.pop("price", None), options.pop("cache", True), options.pop("stream", False)
    options = {key: _filled_in(alias, value, read_key) for key, value in options.items()}
    base = _base(name, read_key)
    if base is not None and "api_base" not in options and "base_url" not in options:
        options["api_base"] = base
    if "api_key" not in options:
        key = _key(alias, name, read_key, "api_base" in options or "base_url" in options)
        if key is not None:
            options["api_key"] = key
    _check_options(alias, options)
    priced = Price(**price) if isinstance(price, dict) else price
    return Model(name, options, price=priced, cache=bool(cache), stream=bool(stream), **settings)


def is_any_usable(models: Mapping[str, JSON], read_key: ReadKey) -> bool:
    """Whether a call could reach a model at all: by an alias of the project file, or by the key of a provider."""
    for alias in models:
        try:
            resolve(alias, models, read_key)
        except ActionError:
            continue
        return True
    return any(read_key(variable) for variables in KEYS.values() for variable in variables)


def written_keys(models: Mapping[str, JSON]) -> list[str]:
    """The API keys that stand in the project file itself."""
    entries = [entry for entry in models.values() if isinstance(entry, dict)]
    return [key for entry in entries if isinstance(key := entry.get("api_key"), str) and "${{" not in key]


def named_secrets(models: Mapping[str, JSON]) -> list[str]:
    """The names after `secrets.` in the project file, found without a parser: a name too many does no harm."""
    return [name for entry in models.values() if isinstance(entry, dict) for name in _SECRET.findall(repr(entry))]


def _filled_in(alias: str, value: JSON, read_key: ReadKey) -> JSON:
    """The value of an option, with the secrets that its `${{ secrets.NAME }}` refer to."""
    if isinstance(value, dict):
        return {key: _filled_in(alias, item, read_key) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_in(alias, item, read_key) for item in value]
    if not isinstance(value, str) or "${{" not in value:
        return value
    from agentctl.expressions.secrecy import secret_parts

    text = ""
    for literal, name in secret_parts(value):
        secret = read_key(name) if name else ""
        if secret is None:
            fix = f"set {name} in the environment or in the project's .env"
            raise ActionError("llm.auth", f"The model `{alias}` needs the secret {name}, which is not set: {fix}.")
        text += literal + secret
    return text


def _check_options(alias: str, options: Mapping[str, JSON]) -> None:
    """Refuse what no request can be made with; the client's own errors do not say what is wrong."""
    key = options.get("api_key")
    if isinstance(key, str) and not (key.isascii() and key.isprintable()):
        what = "a line break" if "\n" in key or "\r" in key else "a character"
        raise ActionError("llm.auth", f"The API key of the model `{alias}` contains {what} that a request cannot carry.")
    base = options.get("api_base") or options.get("base_url")
    if isinstance(base, str) and not _is_address(base):
        why = f"`api_base` is {base!r}: write a URL that begins with http:// or https://"
        raise ActionError("llm.bad_request", f"The model `{alias}` cannot be asked: {why}.")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _base(name: str, read_key: ReadKey) -> str | None:
    """The server that stands in for OpenAI's own. litellm looks in the environment alone; it may be in the project's .env."""
    if _provider(name) != "openai":
        return None
    return read_key("OPENAI_BASE_URL") or read_key("OPENAI_API_BASE") or None


def _key(alias: str, name: str, read_key: ReadKey, own_server: bool) -> str | None:
    """The key to pass on, None to let litellm look for what it needs."""
    names = KEYS.get(_provider(name), ())
    for variable in names:
        key = read_key(variable)
        if key:
            return key
    if own_server:
        return NO_KEY
    if not names:
        return None
    called = f"The model {name}" if alias == name else f"The model `{alias}` ({name})"
    raise ActionError(
        "llm.auth",
        f"{called} has no API key: set {names[0]} in the environment or in the project's .env, "
        "or choose another model under `models:` in agentctl.yaml.",
    )


def _provider(name: str) -> str:
    prefix, slash, _ = name.partition("/")
    return prefix if slash else next((provider for start, provider in _BARE.items() if name.startswith(start)), "")
