"""Types of errors that do not belong to one action alone."""

from __future__ import annotations

from agentctl.spec.types import ErrorType

TIMEOUT = ErrorType("timeout", retryable=True, unknown=True)
CANCELLED = ErrorType("cancelled", unknown=True)
INTERNAL = ErrorType("internal", unknown=True)
EXPRESSION = ErrorType("expression")
INPUT_INVALID = ErrorType("input.invalid")
OUTPUT_INVALID = ErrorType("output.invalid", retryable=True, unknown=True)
PERMISSION_DENIED = ErrorType("permission.denied")
UNKNOWN_OUTCOME = ErrorType("step.unknown_outcome")

# Any step can fail with these, whatever its action.
COMMON = (TIMEOUT, CANCELLED, INTERNAL, EXPRESSION, INPUT_INVALID, OUTPUT_INVALID, UNKNOWN_OUTCOME)
