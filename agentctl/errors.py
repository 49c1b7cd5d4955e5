"""Every exception that agentctl raises on purpose, and the exit code each one ends a command with.

    AgentctlError                  anything that is reported to the user; never a traceback
    ├── UsageError           (2)   the command line makes no sense
    │   ├── InputInvalid     (2)   the input does not fit what the definition declares
    │   ├── PermissionDenied (2)   what a person alone may do, asked for from within a run
    │   ├── AmbiguousPrefix  (2)   several runs begin with what was typed
    │   └── NothingToResume  (2)   the run has already finished well
    ├── DefinitionInvalid    (2)   a YAML file has problems; carries every one of them
    ├── RunRejected           (1)   a limit of the definition lets no run be made now
    ├── AddressUnavailable         (1)   the address of `--listen` cannot be had now; later, perhaps, it can
    ├── NotFound             (4)   no such run, definition or step
    ├── StoreError           (5)   the store cannot be used
    │   ├── StoreMissing     (5)   nothing was ever written to it, or it was removed
    │   ├── StoreBusy        (5)   another process holds it
    │   ├── StoreFull        (5)   no room on the disk, or a file-size limit
    │   ├── StoreCorrupt     (5)   SQLite says that the file is damaged or is no database
    │   │   └── PayloadUnreadable (5)  a large output beside it is missing or cannot be read; the run that it is of has a problem
    │   ├── RunUnreadable    (5)   the journal of one run cannot be read; other runs are not affected
    │   ├── StoreNeedsMigration    (5)   written by an older agentctl, and opened for reading only
    │   └── StoreTooNew     (5)   written by a newer agentctl
    └── LeaseLost            (5)   another process took this run over; what it writes counts, not we

    ActionError                    an attempt of a step failed: becomes the step's error object, never a user message
    ExpressionError                an expression could not be evaluated; becomes error type `expression`

Core raises `IllegalTransition` (an AssertionError of ours): a bug, never an outcome.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

# What is known of the effect of a failed attempt: it was not begun, the other side answered, or nobody can say.
ErrorOutcome = Literal["not_begun", "answered", "unknown"]


class AgentctlError(Exception):
    """Base of every error that is reported to a user. `str(error)` is one clear sentence; `kind` is the `type` in JSON."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"


class UsageError(AgentctlError):
    exit_code = 2
    kind = "usage"


class InputInvalid(UsageError):
    kind = "input.invalid"


class PermissionDenied(UsageError):
    kind = "permission.denied"


class AmbiguousPrefix(UsageError):
    kind = "ambiguous"


class NothingToResume(UsageError):
    kind = "nothing_to_resume"


class DefinitionInvalid(AgentctlError):
    """`problems` holds every `language.problems.Problem` of the file, in the order of the lines."""

    exit_code = 2
    kind = "definition.invalid"

    def __init__(self, problems: list[Any]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RunRejected(AgentctlError):
    kind = "not_started"


class AddressUnavailable(AgentctlError):
    kind = "listen"


class NotFound(AgentctlError):
    exit_code = 4
    kind = "not_found"


class StoreError(AgentctlError):
    exit_code = 5
    kind = "store"


class StoreMissing(StoreError):
    kind = "store.missing"


class StoreBusy(StoreError):
    kind = "store.busy"


class StoreFull(StoreError):
    kind = "store.full"


class StoreCorrupt(StoreError):
    kind = "store.corrupt"


class PayloadUnreadable(StoreCorrupt):
    kind = "store.payload"


class RunUnreadable(StoreError):
    kind = "run.unreadable"


class StoreNeedsMigration(StoreError):
    kind = "store.outdated"


class StoreTooNew(StoreError):
    kind = "store.version"


class LeaseLost(StoreError):
    kind = "lease.lost"


class ActionError(Exception):
    """An attempt failed. `type`: one of the dotted names of docs/language.md.

    `retry_after`: seconds a server asked us to wait, if it did.
    `usage`: what the failed attempt cost all the same.
    `outcome`: what is known of the effect; None: what is usual for `type`.
    """

    def __init__(
        self,
        type: str,
        message: str,
        data: dict[str, Any] | None = None,
        *,
        retry_after: float | None = None,
        usage: dict[str, Any] | None = None,
        outcome: ErrorOutcome | None = None,
    ) -> None:
        super().__init__(message)
        self.type = type
        self.message = message
        self.data = data
        self.retry_after = retry_after
        self.usage = usage
        self.outcome = outcome


class ExpressionError(Exception):
    """An expression failed to parse or to evaluate. `offset` counts characters from the start of its source."""

    def __init__(self, message: str, *, offset: int | None = None, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.suggestion = suggestion


class IllegalTransition(AssertionError):
    """The interpreter was handed an event that its tables do not know in this state: a bug, reported in one place."""
