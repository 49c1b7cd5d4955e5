"""`http`: one request."""

from __future__ import annotations

from agentctl.spec.errors import PERMISSION_DENIED
from agentctl.spec.types import ActionSpec, ErrorType

HTTP = ActionSpec(
    name="http",
    schema={
        "title": "http",
        "type": "object",
        "required": ["url"],
        "not": {"type": "object", "required": ["json", "body"]},
        "additionalProperties": False,
        "description": "One HTTP request; output {status, headers, body}.",
        "properties": {
            "method": {
                "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                "description": "How it is asked. Default: GET.",
            },
            "url": {"type": "string", "minLength": 1, "description": "Where to."},
            "headers": {
                "title": "headers",
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean"]},
                "description": "Name -> value.",
            },
            "query": {"title": "query", "type": "object", "description": "Name -> value, added to the url."},
            "json": {"description": "A body, sent as JSON."},
            "body": {"type": "string", "description": "A body, sent as it is."},
            "ok": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": ["integer", "string"],
                    "pattern": "^[1-5][0-9x][0-9x]$",
                    "minimum": 100,
                    "maximum": 599,
                    "x-expected": "a status such as 404 or 2xx",
                },
                "description": "Statuses that are no failure. Default: [2xx].",
            },
            "parse": {
                "enum": ["auto", "json", "text", "bytes"],
                "description": "What the body is read as; bytes: a file. Default: auto, by its content type.",
            },
            "max_bytes": {
                "type": ["integer", "string"],
                "format": "agentctl-size",
                "x-code": "bad-size",
                "x-expected": "a size such as 512KiB or 10MiB",
                "description": "The largest answer taken. Default: 10MiB.",
            },
        },
    },
    secrets=frozenset({"http"}),
    texts={"headers": 1, "query": 2},
    streams=frozenset({"body"}),
    implementation="agentctl.actions.http:make",
    is_mockable=True,
    can_be_allowed=True,
    errors=(
        ErrorType("http.connect", retryable=True, unknown=True),
        ErrorType("http.status.*"),
        ErrorType("http.status.408", retryable=True),
        ErrorType("http.status.425", retryable=True),
        ErrorType("http.status.429", retryable=True),
        ErrorType("http.status.5*", retryable=True),
        ErrorType("http.too_large", unknown=True),
        PERMISSION_DENIED,
    ),
)
