"""The ports of agentctl: what the engine needs of a store, of an action, of a clock. Each Protocol states its contract.

`engine` and `engines` know these and `core`, never a concrete store or action; `wiring` picks the parts.
One suite in tests/contract runs against every implementation.
"""

from __future__ import annotations

from agentctl.core.budget import Refusal, Reservation, Settlement
from agentctl.core.effects import KeyOrder, OpenWait
from agentctl.core.emission import NewEvent
from agentctl.model import StoredDefinition
from agentctl.ports.actions import (
    SERVE_TOKEN,
    Action,
    ActionContext,
    Call,
    Clock,
    InstantAction,
    LargeOutput,
    Observer,
    Outcome,
    Scrubber,
    SecretSource,
    SlowAction,
    Surroundings,
)
from agentctl.ports.append import Append, Appended, Waiting
from agentctl.ports.commons import (
    Commons,
    Deployments,
    DueRuns,
    Events,
    Mailboxes,
    People,
    Results,
    Runs,
    Schedules,
    Upkeep,
)
from agentctl.ports.engine import Client, Engine, Until
from agentctl.ports.files import Files
from agentctl.ports.journals import Journals
from agentctl.ports.reports import Feedback, Finding, Pruned, Statistics, Verdict
from agentctl.ports.runs import (
    FINISHED,
    UNFINISHED,
    Admission,
    Awaiter,
    HistoryFilter,
    Lease,
    Mail,
    NewRun,
    Progress,
    QueuePosition,
    Reply,
    RunRow,
    RunStatus,
    usage_document,
)
from agentctl.ports.starts import (
    NOTHING,
    Deployment,
    Gather,
    Gathered,
    SeenFile,
    SendResult,
    Slot,
    SlotOutcome,
    SlotRow,
    Subscription,
    Triggered,
    Triggers,
)
from agentctl.ports.store import Store

__all__ = [
    "FINISHED",
    "NOTHING",
    "SERVE_TOKEN",
    "UNFINISHED",
    "Action",
    "ActionContext",
    "Admission",
    "Append",
    "Appended",
    "Awaiter",
    "Call",
    "Client",
    "Clock",
    "Commons",
    "Deployment",
    "Deployments",
    "DueRuns",
    "Engine",
    "Events",
    "Feedback",
    "Files",
    "Finding",
    "Gather",
    "Gathered",
    "HistoryFilter",
    "InstantAction",
    "Journals",
    "KeyOrder",
    "LargeOutput",
    "Lease",
    "Mail",
    "Mailboxes",
    "NewEvent",
    "NewRun",
    "Observer",
    "OpenWait",
    "Outcome",
    "People",
    "Progress",
    "Pruned",
    "QueuePosition",
    "Refusal",
    "Reply",
    "Reservation",
    "Results",
    "RunRow",
    "RunStatus",
    "Runs",
    "Schedules",
    "Scrubber",
    "SecretSource",
    "SeenFile",
    "SendResult",
    "Settlement",
    "Slot",
    "SlotOutcome",
    "SlotRow",
    "SlowAction",
    "Statistics",
    "Store",
    "StoredDefinition",
    "Subscription",
    "Surroundings",
    "Triggered",
    "Triggers",
    "Until",
    "Upkeep",
    "Verdict",
    "Waiting",
    "usage_document",
]
