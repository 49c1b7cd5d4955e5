"""What the interpreter asks of a kind of step, with the answers that most kinds share."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core import retry
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.transition import Transition
from agentctl.expressions.template import Template


class Kind:
    """The behaviour of one kind of step. It has no state of its own: one instance serves all steps of all runs.

    Methods that take a `Transition` decide: they evaluate expressions and emit events. Methods that take a `RunState` fold: they
    change the state as an event says, evaluate nothing and emit nothing, because a journal is folded again at every load.

    `is_leaf`: a driver performs its attempts.
    `has_child_run`: an attempt is another run, which is asked to cancel when the attempt is to stop, and whose end is awaited.
    """

    is_leaf = False
    has_child_run = False

    # --- decide ----------------------------------------------------------------------------------------------------

    def begin(self, run: Transition, step: StepState) -> None:
        """Evaluate the inputs of a step and begin an attempt. An expression that fails is a failed attempt."""
        start_attempt(run, step)

    def begin_again(self, run: Transition, step: StepState) -> None:
        """Begin another attempt with the inputs that the step has."""
        start_attempt(run, step)

    def next_due(self, run: Transition, step: StepState, error: ev.Error) -> float | None:
        """Return when the attempt after the one that failed begins, in epoch seconds; None when there is none."""
        return retry.next_due(
            step.node.step.retry,
            error,
            attempt=step.attempt,
            at=run.at,
            seed=f"{run.state.run_id}/{step.path}#{step.attempt}",
            retry_after=step.retry_after,
        )

    def look(self, run: Transition, step: StepState) -> None:
        """Decide what follows while the step is `running`: something about it, or about a list below it, has changed."""

    def out_of_time(self, step: StepState, at: float) -> tuple[JSON, ev.Error | None]:
        """Return the output or the error of a step that is `waiting` when the timer that it waits for fires."""
        return None, None

    def timeout_data(self, step: StepState) -> JSON:
        """Return the data of the error of a container that took too long."""
        return None

    def close(self, run: Transition, frame: Frame, output: JSON, error: ev.Error | None) -> None:
        """Decide what follows when a list of the step's own is over, with `output` or `error`."""
        run.emit(ev.BlockFinished(at=run.at, path=frame.key, output=output, error=error))

    def output_of(self, step: StepState) -> Template | None:
        """Return the expression for the output of a list of the step's own. None: the output of its last step."""
        return None

    # --- fold ------------------------------------------------------------------------------------------------------

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        """An attempt has started."""

    def block_started(self, state: RunState, step: StepState, event: ev.BlockStarted) -> None:
        """Open a list of the step's own, of the role that the event names."""
        raise NotImplementedError(f"a {step.node.kind} has no list of role {event.role}")

    def block_finished(self, state: RunState, step: StepState, frame: Frame, event: ev.BlockFinished) -> None:
        """A list of the step's own is over."""
        raise NotImplementedError(f"a {step.node.kind} has no list of role {frame.role}")

    # --- commands --------------------------------------------------------------------------------------------------

    def commands(self, state: RunState, step: StepState) -> list[cmd.Command]:
        """Return what makes a driver start what the attempt under way waits for. Timers are not part of it."""
        return []


def start_attempt(
    run: Transition,
    step: StepState,
    *,
    input: JSON = None,
    secrets: list[JSON] | None = None,
    child: str | None = None,
) -> None:
    """Begin the next attempt of a step. `input`: its parameters, when they were evaluated just now.  `child`: id of its run."""
    attempt = step.attempt + 1
    run.emit(ev.StepStarted(at=run.at, path=step.path, attempt=attempt, input=input, secrets=secrets or [], child=child))


def fail_start(run: Transition, step: StepState, error: ev.Error) -> None:
    """Fail the next attempt of a step before it begins."""
    run.emit(ev.AttemptFailed(at=run.at, path=step.path, attempt=step.attempt + 1, error=error))


def end_attempt(run: Transition, step: StepState, output: JSON, error: ev.Error | None) -> None:
    """End the attempt of a step that no driver performs: with `error`, else well with `output`."""
    if error is not None:
        run.emit(ev.AttemptFailed(at=run.at, path=step.path, attempt=step.attempt, error=error))
        return
    status = "succeeded" if step.source is None else "reused"
    run.emit(ev.StepSucceeded(at=run.at, path=step.path, attempt=step.attempt, output=output, status=status, source=step.source))


def type_name(value: JSON) -> str:
    """Name the type of a value in a message: `a list`, `null`."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "null")
