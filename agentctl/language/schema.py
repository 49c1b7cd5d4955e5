"""The JSON Schema of a definition: what `agentctl schema` prints and editors complete by."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(1)
def schema() -> dict[str, Any]:
    """JSON Schema draft 2020-12, from schema.json beside this file. Callers must not change it.

    Keys that begin with `x-` are for our messages: `x-expected` says what the value should be, `x-code` the problem's code,
    `x-one` what exactly one of is needed. Formats that begin with `agentctl-` are checked by `formats`.
    """
    text = (files("agentctl.language") / "schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
