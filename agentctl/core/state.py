"""The state of a run: what its journal folds to. Plain records; `fold` changes them, `interpreter` reads them.

A run is a tree: a `Frame` is one list of steps being executed (the run's own, a group's, one item of a foreach, a handler),
a `StepState` is one step in it, and a step that holds lists has frames of its own below it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator

from agentctl import JSON
from agentctl.core import lifecycle
from agentctl.core.conversation import Call, Conversation, OnceCall
from agentctl.core.events import Account, Error, Parent, Usage
from agentctl.core.graph import Block, Node, Plan
from agentctl.core.timestamps import LATEST

_MOST_STALE = 100  # timers in the heap that are not set any more


class StepState:
    """One step of one frame. `attempt`: 0 before the first.  `launches`: attempts ever, which a resume does not reset."""

    __slots__ = (
        "agent",
        "answer",
        "attempt",
        "begun",
        "bodies",
        "call",
        "child",
        "claim",
        "dropped",
        "error",
        "failure",
        "finished_at",
        "frame",
        "frames",
        "halted",
        "input",
        "iteration",
        "key",
        "last",
        "launches",
        "lost",
        "names",
        "node",
        "output",
        "outputs",
        "path",
        "probed",
        "queued",
        "redo",
        "resumed_from",
        "retry_after",
        "secrets",
        "source",
        "started_at",
        "status",
        "stopping",
        "timer_fired",
        "undone",
        "usage",
        "waiting_items",
    )

    status: str

    def __init__(self, path: str, node: Node, frame: Frame) -> None:
        self.path = path
        self.node = node
        self.frame = frame
        self.launches = 0
        self.queued = False  # stands in RunState.due
        self.child: str | None = None
        self.call: Call | None = None  # of a tool of an agent
        self.names: dict[str, JSON] = {}  # beside those of its list: the `args` of a call
        self.dropped = False  # a resume, or a later round of its agent, has taken it out of the conversation
        self.reset()

    def reset(self) -> None:
        """As before its first attempt. `launches` and `child` stay."""
        lifecycle.reset(self)
        if self.call is not None and self.call.asked:
            self.call.ask_again()
            self.names = {"args": self.call.given}
        self.attempt = 0
        self.begun = False  # an attempt got past the evaluation of its inputs
        self.input: JSON = None
        self.secrets: list[JSON] = []
        self.output: JSON = None
        self.error: Error | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.usage: Usage | None = None
        self.retry_after: float | None = None
        self.key: str | None = None  # the idempotency or cache key that it has claimed, or waits for
        self.claim = self.path  # in whose name; that of an earlier round whose doubt it took over
        self.source: str | None = None  # the step whose recorded result it was handed
        self.probed = False  # its probe has run and did not find out
        self.lost = False  # an `effect: once` attempt whose process is gone without an answer
        self.timer_fired = False  # the timer it waits for has fired
        self.answer: tuple[JSON, Error | None] | None = None  # what the child it waits for ended with
        self.stopping = False  # asked to stop; its answer is still awaited
        self.halted: Error | None = None  # ran out of time: what is under it is being stopped
        self.undone = False  # its undo step has begun
        self.frames: dict[str, Frame] = {}  # open ones
        self.bodies: list[Frame] = []  # those of the last round, ended or not: the items, the last iteration, the group's list
        # foreach: outputs by item, the next item to open, the first failure. repeat: iterations begun, the last one's output.
        self.outputs: list[JSON] = []
        self.iteration = 0
        self.last: JSON = None
        self.failure: Error | None = None
        # foreach after a resume: items found unfinished that wait for a free place, and the steps to drop in them
        self.waiting_items: list[Frame] = []
        self.redo: set[str] = set()
        self.agent: Conversation | None = None
        # a container after a resume: its last round, while what it needs runs again
        self.resumed_from: dict[str, JSON] | None = None

    @property
    def attempts(self) -> int:
        return self.attempt

    @property
    def uses(self) -> str:
        return self.node.step.uses


class Frame:
    """One list of steps under way. `key`: its path (`each[2]`); steps in it are `key.id`.

    `outer`: the frame whose steps its expressions also see.  `live`: started and not ended.  `left`: not ended.
    """

    __slots__ = (
        "below",
        "block",
        "closed",
        "ended_well",
        "failure",
        "halted",
        "index",
        "key",
        "left",
        "limit",
        "live",
        "outer",
        "owner",
        "prefix",
        "queued",
        "ready",
        "returned",
        "role",
        "scope",
        "steps",
        "vars",
        "waiting",
    )

    def __init__(
        self,
        key: str,
        block: Block,
        role: str,
        *,
        owner: StepState | None = None,
        outer: Frame | None = None,
        prefix: str | None = None,
        index: int = 0,
        vars: dict[str, JSON] | None = None,
    ) -> None:
        self.key = key
        self.block = block
        self.role = role  # main, group, item, iteration, fallback, undo, handler
        self.owner = owner
        self.outer = outer
        self.index = index  # of the item or iteration
        self.prefix = prefix if prefix is not None else f"{key}." if key else ""
        self.vars = vars or {}
        self.scope: dict[str, JSON] | None = None  # cache of `scope.scope_of`
        self.steps = [StepState(self.prefix + node.step.id, node, self) for node in block.nodes]
        self.limit: int | None = None  # steps at once
        self.queued = False
        self.halted = False  # nothing starts here any more
        self.returned: tuple[JSON] | None = None  # the value of a `return` that was reached in or below it
        self.closed = False
        self.below: dict[str, Frame] = {}  # opened by steps of this one, ended or not
        self.ended_well = False
        self.restart()

    def restart(self) -> None:
        """Count again which steps wait for which, from their statuses: pending, succeeded, or (a container) opened again."""
        self.waiting = list(self.block.waits)
        self.live: dict[int, StepState] = {}
        self.left = 0
        self.failure: Error | None = None
        for step in self.steps:
            if step.status in ("pending", "running", "unknown"):
                self.left += 1
                if step.status != "pending":  # a container that a resume opened again, or a doubt that is still there
                    self.live[step.node.index] = step
            else:
                for dependent in self.block.dependents[step.node.index]:
                    self.waiting[dependent] -= 1
        self.ready = deque(i for i, step in enumerate(self.steps) if step.status == "pending" and self.waiting[i] == 0)

    def is_halted(self) -> bool:
        """True when this frame, or one that holds it, starts nothing any more."""
        frame: Frame | None = self
        while frame is not None:
            if frame.halted:
                return True
            owner = frame.owner
            if owner is not None and owner.halted is not None:
                return True
            frame = owner.frame if owner is not None else None
        return False

    def live_steps(self) -> Iterator[StepState]:
        """Every live step in and below this frame, inner ones first."""
        for step in list(self.live.values()):
            yield from live_below(step)
            yield step


def live_below(step: StepState) -> Iterator[StepState]:
    for frame in list(step.frames.values()):
        yield from frame.live_steps()


class RunState:
    """A run. `phase`: see lifecycle.RUN.  `head`: events folded.  `at`: when the last one happened.

    One flat record: each value is changed by the fold of its own events, and a decision may look at any of them.
    """

    plan: Plan
    phase: str = lifecycle.FIRST_PHASE

    def __init__(self, plan_of: Callable[[str], Plan], secret_names: frozenset[str]) -> None:
        # Long: the fields of a run in memory, each once.
        self.plan_of = plan_of
        self.secret_names = secret_names
        # how it was made
        self.replay_version = 1
        self.run_id = ""
        self.name = ""
        self.version = ""
        self.input: dict[str, JSON] = {}
        self.trigger = "manual"
        self.event: JSON = None
        self.event_depth = 0  # emitted events that led to this run, one after the other
        self.parent: Parent | None = None
        self.vars: dict[str, JSON] = {}
        self.accounts: list[Account] = []  # budgets of the runs above
        self.permissions: list[JSON] = []  # those of the runs above
        self.problem: Error | None = None  # with which it was made: it fails as it starts
        self.scheduled_at: float | None = None
        self.created_at = 0.0
        # how far it is
        self.head = 0
        self.at = 0.0
        self.attempt = 0
        self.memory: dict[str, JSON] = {}
        self.remembered: dict[str, JSON] = {}  # what the run itself has set of it since
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.steps_done = 0
        self.steps_total = 0
        # how it ends
        self.cancel: str | None = None  # the reason, once somebody asked
        self.expired = False  # the run's own timeout has fired
        self.outcome: str | None = None  # set by Settled
        self.ended_before = False  # with this outcome; an answer that came later made an undo due
        self.output: JSON = None
        self.error: Error | None = None
        self.pending_handlers: list[str] = []  # handlers still to run
        self.undoable: list[StepState] = []  # in the order in which they ended
        self.failed_undos: list[StepState] = []  # `effect: once` steps whose undo failed, newest first
        # its steps
        self.root: Frame | None = None
        self.frames: dict[str, Frame] = {}  # open ones
        self.ended: list[Frame] = []  # items and iterations that `eviction.forget` may drop
        self.steps: dict[str, StepState] = {}  # every step ever opened, except those that were evicted
        self.rounds: dict[str, int] = {}  # how often a list was opened, for the `@n` of its path
        self.once_calls: dict[str, list[OnceCall]] = {}  # by agent and hash: finished calls of `effect: once` tools
        self.once: dict[str, JSON] = {}  # outputs of finished `effect: once` steps, by path without rounds
        self.doubts: dict[str, StepState] = {}  # `effect: once` steps of unknown outcome, by path without rounds
        # what it waits for
        self.executing: dict[str, StepState] = {}  # attempts under way that a driver answers
        self.children: dict[str, str] = {}  # path -> run id that is awaited
        self.unknown: dict[str, StepState] = {}  # steps whose outcome somebody has to look up
        self.subscriptions: dict[str, str] = {}  # path -> name of the event that a wait is open for
        self.consumed_event_ids: dict[str, None] = {}  # of the latest events that waits took, in order
        self.approvals: dict[str, str] = {}  # path -> digest of what a person is asked to sign
        self.lookups: dict[str, str] = {}  # path -> key under which a recorded result is looked for
        self.cancelled_waits: list[str] = []  # paths that no longer wait: a driver is to be notified
        self.timers: dict[tuple[str, str], float] = {}
        self._timer_heap: list[tuple[float, tuple[str, str]]] = []
        # what is to be decided
        self.due: deque[Frame | StepState | RunState] = deque()
        self.queued = False
        self.on_hold = False  # nothing new is started, because the driver of the run is about to leave
        self.held_back = False  # ... and something would have been
        self.is_catching_up = False  # nothing is started until all that was due is decided
        self.postponed: list[Frame | StepState] = []  # what would have started meanwhile
        self.is_taken_over = False  # the open commands are still to be given to the new owner
        # what it cost
        self.usage: Usage | None = None  # of the llm calls that answered, those of finished children included
        self.dearest: dict[str, float] = {}  # model as asked for -> the most dollars per token that the run has paid it
        self.reserved: dict[str, int] = {}  # path -> tokens that an llm call under way may take
        self.lost_tokens = 0  # estimates of llm calls that were cut off, so that their cost is not known
        self.children_usage: dict[str, Usage] = {}  # run id -> what is counted of it already

    def look_at(self, item: Frame | StepState | RunState) -> None:
        """Something about `item` may call for a decision."""
        if not item.queued:
            item.queued = True
            self.due.append(item)

    def drop_marks(self) -> None:
        """Look at nothing that was marked so far."""
        for item in self.due:
            item.queued = False
        self.due.clear()

    def set_timer(self, path: str, timer: str, due: float) -> None:
        due = min(due, LATEST)  # a deadline after that is never reached, and must be shown
        self.timers[path, timer] = due
        heapq.heappush(self._timer_heap, (due, (path, timer)))
        if len(self._timer_heap) > 2 * len(self.timers) + _MOST_STALE:  # timers that were cancelled long before they were due
            self._timer_heap = [(at, key) for key, at in self.timers.items()]
            heapq.heapify(self._timer_heap)

    @property
    def next_timer(self) -> tuple[str, str]:
        """Path and name of the earliest timer, if `next_due` is not None."""
        return self._timer_heap[0][1]

    @property
    def next_due(self) -> float | None:
        """Epoch seconds of the earliest timer; None without one."""
        heap = self._timer_heap
        while heap and self.timers.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    @property
    def status(self) -> str:
        """queued, running, waiting, blocked, succeeded, failed or cancelled: what `history` shows."""
        if self.phase in ("new", "queued"):
            return "queued"
        if self.phase == "finished":
            assert self.outcome is not None
            return self.outcome
        if self.executing:
            return "running"
        return "blocked" if self.unknown else "waiting"

    @property
    def is_finished(self) -> bool:
        return self.phase == "finished"
