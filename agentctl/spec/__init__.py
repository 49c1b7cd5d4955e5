"""One record per action and per kind of trigger. Validation, the JSON Schema, retries, mocks and tables in the docs use these."""

from agentctl.spec.catalog import action, actions, error_type, error_types, takes_references, trigger, triggers
from agentctl.spec.types import ActionSpec, ErrorType, TriggerSpec

__all__ = [
    "ActionSpec",
    "ErrorType",
    "TriggerSpec",
    "action",
    "actions",
    "error_type",
    "error_types",
    "takes_references",
    "trigger",
    "triggers",
]
