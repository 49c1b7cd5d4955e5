"""Perform attempts of steps: at most `workers` at once, each with its time limit, each answered by exactly one event.

What an action returns or raises is scrubbed of secrets before it becomes an event, so nothing later can leak them.
An attempt that waits for a free worker, or for its action to get ready (`SlowAction`), has not begun: the wait does not count to
its timeout.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, cast

from msgspec import convert, structs

from agentctl import JSON, spec
from agentctl.core.commands import Execute
from agentctl.core.events import AnyEvent, AttemptFailed, AttemptWithdrawn, Error, StepSucceeded, Usage
from agentctl.errors import ActionError, StoreError
from agentctl.performing.json_values import clean_text, json_problem
from agentctl.performing.keeping import Retry, kept, once, opened
from agentctl.ports import Action, Call, Clock, InstantAction, Outcome, SlowAction, Surroundings

log = logging.getLogger(__name__)

# Takes what came of an attempt; a StoreError: its output cannot be kept, and nobody else knows of it.
Answer = Callable[[AnyEvent | StoreError], None]


class _Attempt:
    """One attempt on its way. `halted`: the task was cancelled by us.  `silent`: nobody wants the answer any more."""

    __slots__ = ("answer", "call", "command", "halted", "limit", "silent", "task")

    def __init__(self, command: Execute, call: Call, answer: Answer) -> None:
        self.command = command
        self.call = call
        self.answer = answer
        self.limit: asyncio.Timeout | None = None  # while it is performed
        self.task: asyncio.Task[AnyEvent | StoreError] | None = None
        self.halted = False
        self.silent = False

    def halt(self) -> None:
        """Cancel once: a second cancellation would disturb an action that is already stopping its processes."""
        if not self.halted and self.task is not None and not self.has_timed_out:
            self.task.cancel()
        self.halted = True

    @property
    def has_timed_out(self) -> bool:
        return self.limit is not None and self.limit.expired()


class Attempts:
    def __init__(
        self, actions: Mapping[str, Action], around: Surroundings, clock: Clock, workers: int, retry: Retry = once
    ) -> None:
        """`retry`: how large outputs are kept while the store takes none."""
        self._actions = actions
        self._retry = retry
        self._around = around
        self._clock = clock
        self._free = workers
        self._queue: deque[_Attempt] = deque()
        self._live: dict[tuple[str, str], _Attempt] = {}
        self._closed = False  # nothing begins any more

    def __len__(self) -> int:
        return len(self._live)

    def expect(self, uses: Iterable[str]) -> None:
        """Let the actions that a run will need get ready in the background."""
        for name in uses:
            action = self._actions.get(name)
            if hasattr(action, "expect"):
                cast(SlowAction, action).expect()

    async def end_left_behind(self, run_id: str, paths: Collection[str]) -> None:
        """End what another driver, which is dead, left running of these steps: two attempts must never act side by side."""
        await asyncio.to_thread(self._around.end_left_behind, run_id, paths)

    def at_once(self, run_id: str, name: str, command: Execute) -> AnyEvent | None:
        """The answer, when the action needs no time (`set`): no task, no worker. None: it has to be started."""
        try:
            found = spec.action(command.uses)
            if found is None or not found.is_instant:
                return None
            outcome = cast(InstantAction, self._actions[command.uses]).now(self._call(run_id, name, command))
            return self._succeeded(command, outcome.output, outcome)
        except Exception as error:  # as in _perform: whatever an action raises is the attempt's failure
            return self._failed(command, _explain(command, error))

    def start(self, run_id: str, name: str, command: Execute, answer: Answer) -> None:
        """Begin as soon as a worker is free. `answer` is called once, from the event loop, unless the run is dropped."""
        try:
            call = self._call(run_id, name, command)
        except ActionError as error:
            answer(self._failed(command, error))
            return
        attempt = _Attempt(command, call, answer)
        if self._closed:
            self._withdraw(attempt)
            return
        self._live[run_id, command.path] = attempt
        self._queue.append(attempt)
        self._fill()

    def begin_no_more(self) -> None:
        """Running attempts continue; those that wait for a worker, and new ones, are answered with AttemptWithdrawn."""
        self._closed = True
        while self._queue:
            attempt = self._queue.popleft()
            self._live.pop((attempt.call.run_id, attempt.call.path), None)
            self._withdraw(attempt)

    def _withdraw(self, attempt: _Attempt) -> None:
        command = attempt.command
        attempt.answer(AttemptWithdrawn(at=self._clock.now(), path=command.path, attempt=command.attempt))

    def stop(self, run_id: str, path: str, number: int, answer: Answer) -> None:
        """End an attempt; it answers as usual. One that is not under way (its process died before us) is answered here."""
        attempt = self._live.get((run_id, path))
        if attempt is None or attempt.command.attempt != number:
            error = Error(type="cancelled", message="the attempt was stopped", step=path, attempts=number)
            answer(AttemptFailed(at=self._clock.now(), path=path, attempt=number, error=error))
        elif attempt.task is None:
            self._queue.remove(attempt)
            self._end(attempt, self._failed(attempt.command, _stopped()))
        else:
            attempt.halt()

    async def drop(self, run_id: str | None = None) -> None:
        """Stop the attempts of a run (of all runs) without an answer; returns when they have stopped. They execute again."""
        dropped = [a for a in self._live.values() if run_id is None or a.call.run_id == run_id]
        for attempt in dropped:
            attempt.silent = True
            if attempt.task is None:
                self._queue.remove(attempt)
                self._live.pop((attempt.call.run_id, attempt.call.path), None)
            attempt.halt()
        tasks = [a.task for a in dropped if a.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _fill(self) -> None:
        while self._free and self._queue:
            attempt = self._queue.popleft()
            self._free -= 1
            attempt.task = asyncio.get_running_loop().create_task(self._perform(attempt))
            attempt.task.add_done_callback(partial(self._done, attempt))

    def _done(self, attempt: _Attempt, task: asyncio.Task[AnyEvent | StoreError]) -> None:
        self._free += 1
        if not task.cancelled():
            self._end(attempt, task.result() if task.exception() is None else self._unexplained(attempt.command, task))
        elif attempt.halted:  # before its first step
            self._end(attempt, self._failed(attempt.command, _stopped()))
        else:  # the event loop is closing: no answer, it executes again
            self._live.pop((attempt.call.run_id, attempt.call.path), None)
            return
        self._fill()

    def _unexplained(self, command: Execute, task: asyncio.Task[AnyEvent | StoreError]) -> AnyEvent:
        """What came of the attempt could not even be made an event: a bug of ours, which must not leave the run waiting."""
        log.error("the outcome of step %s could not be reported", command.path, exc_info=task.exception())
        return self._failed(command, ActionError("internal", f"the outcome could not be reported: {task.exception()!r}"))

    def _end(self, attempt: _Attempt, event: AnyEvent | StoreError) -> None:
        self._live.pop((attempt.call.run_id, attempt.call.path), None)
        if not attempt.silent:
            attempt.answer(event)

    async def _perform(self, attempt: _Attempt) -> AnyEvent | StoreError:
        command = attempt.command
        try:
            action = self._actions[command.uses]
            if hasattr(action, "ready"):
                await cast(SlowAction, action).ready(attempt.call)
            attempt.limit = asyncio.timeout(command.timeout)
            async with attempt.limit:
                outcome = await action.perform(attempt.call, self._around)
            if not attempt.has_timed_out:
                return self._succeeded(command, await kept(outcome, self._around, self._retry), outcome)
            problem = _timed_out(command)
        except asyncio.CancelledError:
            if attempt.halted:
                problem = _stopped()
            elif _being_cancelled():
                raise
            else:
                problem = ActionError("internal", f"the action {command.uses} cancelled itself")
        except StoreError as error:
            return error
        except Exception as error:  # whatever an action raises is the attempt's failure: it is journaled and logged, not lost
            ours = _timed_out(command) if attempt.has_timed_out else _stopped() if attempt.halted else None
            problem = ours or _explain(command, error)
        return self._failed(command, problem)

    def _call(self, run_id: str, name: str, command: Execute) -> Call:
        """Complete parameters, secrets put in. Raises ActionError for a secret that is gone."""
        return Call(
            run_id=run_id,
            name=name,
            path=command.path,
            attempt=command.attempt,
            idempotency_key=command.idempotency_key,
            params=opened(command.uses, self._insert_secrets(command) if command.secrets else command.params),
            previous=command.previous,
            timeout=command.timeout,
        )

    def _insert_secrets(self, command: Execute) -> Any:
        from agentctl.expressions.values import insert_secrets

        try:
            return insert_secrets(command.params, command.secrets, self._around.secrets.read)
        except KeyError as error:
            message = f"the secret {error.args[0]} is not set any more"
            raise ActionError("expression", message, outcome="not_begun") from None

    def _succeeded(self, command: Execute, output: JSON, outcome: Outcome) -> AnyEvent:
        why = json_problem(output)
        if why is not None:
            return self._failed(
                command, ActionError("output.invalid", f"the output cannot be kept: {why}", usage=_counts(outcome))
            )
        return StepSucceeded(
            at=self._clock.now(),
            path=command.path,
            attempt=command.attempt,
            output=self._around.scrub(output),
            usage=outcome.usage,
        )

    def _failed(self, command: Execute, problem: ActionError) -> AttemptFailed:
        data = problem.data if json_problem(problem.data) is None else {"text": clean_text(repr(problem.data))}
        error = Error(
            type=problem.type,
            message=self._around.scrub(clean_text(problem.message)),
            step=command.path,
            attempts=command.attempt,
            data=self._around.scrub(data),
            outcome=problem.outcome,
        )
        if error.outcome is None and error.leaves_doubt:  # also where nobody knows the action and its errors later
            error = structs.replace(error, outcome="unknown")
        return AttemptFailed(
            at=self._clock.now(),
            path=command.path,
            attempt=command.attempt,
            error=error,
            retry_after=problem.retry_after,
            usage=_usage(problem.usage),
        )


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _stopped() -> ActionError:
    return ActionError("cancelled", "the attempt was stopped")


def _timed_out(command: Execute) -> ActionError:
    from agentctl.expressions.duration import format_duration

    return ActionError("timeout", f"the attempt took longer than {format_duration(command.timeout or 0.0)}")


def _explain(command: Execute, error: Exception) -> ActionError:
    if isinstance(error, ActionError):
        return error
    log.error("the action %s of step %s failed unexpectedly", command.uses, command.path, exc_info=error)
    return ActionError("internal", f"the action {command.uses} failed unexpectedly: {type(error).__name__}: {error}")


def _counts(outcome: Outcome) -> dict[str, Any] | None:
    return None if outcome.usage is None else structs.asdict(outcome.usage)


def _usage(counts: dict[str, Any] | None) -> Usage | None:
    return None if counts is None else convert(counts, Usage)
