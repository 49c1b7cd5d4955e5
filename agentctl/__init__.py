"""agentctl: loops and skills in YAML, run as durable, checkpointed runs."""

from typing import Any

__version__ = "0.1.0"

JSON = Any  # a value as JSON has it: None, bool, int, float, str, list, dict with str keys
