"""agentctl: loops and skills in YAML, run as durable, checkpointed runs."""

__version__ = "0.1.0"
