"""The kinds of triggers: `cron`, `every`, `event`, `webhook`, `file`, and the settings of each as a struct."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentctl.spec.types import TriggerSpec


class Dst(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens when the clocks change."""

    gap: Literal["next", "skip"] = "next"
    fold: Literal["once", "twice"] = "once"


class ScheduleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of `cron` and `every`. `jitter` is a duration as written; `timezone` None: the project's."""

    timezone: str | None = None
    catch_up: Literal["none", "latest", "all"] = "latest"
    max: int = 100
    jitter: str = "0s"
    overlap: Literal["queue", "skip", "cancel_running"] = "queue"
    dst: Dst = Dst()


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event trigger has no settings of its own."""


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`secret`: the reference as written; None with `scheme: none`."""

    secret: str | None = None
    scheme: Literal["standard", "github", "hmac-sha256", "none"] = "standard"


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`on`: which changes of a file start a run."""

    on: tuple[Literal["created", "modified"], ...] = ("created", "modified")


_OF_SCHEDULES: dict[str, Any] = {
    "timezone": {
        "type": "string",
        "format": "agentctl-timezone",
        "x-code": "bad-time-zone",
        "x-expected": "a time zone such as UTC or Europe/Berlin",
        "description": "Whose clock cron means. Default: the project's timezone, else UTC.",
    },
    "catch_up": {"enum": ["none", "latest", "all"], "description": "Which missed slots are made up for. Default: latest."},
    "max": {"type": "integer", "minimum": 1, "description": "With catch_up all: at most so many. Default: 100."},
    "jitter": {"$ref": "#/$defs/duration", "description": "Spreads the start by up to that much. Default: 0s."},
    "overlap": {
        "enum": ["queue", "skip", "cancel_running"],
        "description": "What a slot does while the run before is still going. Default: queue.",
    },
    "dst": {
        "title": "dst",
        "type": "object",
        "additionalProperties": False,
        "description": "What happens when the clocks change.",
        "properties": {
            "gap": {
                "enum": ["next", "skip"],
                "description": "A slot in the hour that does not exist. Default: next, the first instant after it.",
            },
            "fold": {"enum": ["once", "twice"], "description": "A slot in the hour that comes twice. Default: once."},
        },
    },
}

CRON = TriggerSpec(
    name="cron",
    schema={
        "type": "string",
        "format": "agentctl-cron",
        "x-code": "bad-cron",
        "x-expected": "a cron expression such as */30 * * * * or @daily",
        "description": "Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.",
    },
    keys=_OF_SCHEDULES,
    settings=ScheduleSettings,
)

EVERY = TriggerSpec(
    name="every",
    schema={"$ref": "#/$defs/duration", "description": "A fixed interval, measured from the last scheduled slot."},
    keys=_OF_SCHEDULES,
    settings=ScheduleSettings,
)

EVENT = TriggerSpec(
    name="event",
    schema={"type": "string", "minLength": 1, "description": "The name of an event; * matches one dotted part."},
    settings=EventSettings,
    has_event=True,
)

WEBHOOK = TriggerSpec(
    name="webhook",
    schema={
        "type": "string",
        "pattern": "^/",
        "x-expected": "a path that begins with /",
        "description": "Served at /hooks/path.",
    },
    keys={
        "secret": {
            "type": "string",
            "pattern": "^\\s*\\$\\{\\{\\s*secrets\\.[A-Za-z_][A-Za-z0-9_]*\\s*\\}\\}\\s*$",
            "x-expected": "a reference to a secret: ${{ secrets.NAME }}",
            "description": "What signs the requests: ${{ secrets.NAME }}.",
        },
        "scheme": {
            "enum": ["standard", "github", "hmac-sha256", "none"],
            "description": "How requests are signed. Default: standard.",
        },
    },
    settings=WebhookSettings,
    has_event=True,
)

FILE = TriggerSpec(
    name="file",
    schema={"type": "string", "minLength": 1, "description": "A pattern of files, such as inbox/*.json."},
    keys={
        "on": {
            "type": "array",
            "minItems": 1,
            "items": {"enum": ["created", "modified"]},
            "description": "Which changes of a file count.",
        }
    },
    settings=FileSettings,
)
