"""`repeat`: a list of steps again and again, until a condition says that it is enough."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.frames import open_frame, round_key
from agentctl.core.kinds.kind import Kind, end_attempt
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.transition import Transition
from agentctl.expressions.template import Template
from agentctl.model import Repeat


class RepeatKind(Kind):
    def look(self, run: Transition, step: StepState) -> None:
        if step.frames:  # an iteration is under way, or the fallback that the last one led to
            return
        if step.answer is not None:
            end_attempt(run, step, *step.answer)
        elif step.timer_fired and not run.holds_back(step):
            _next_iteration(run, step)

    def close(self, run: Transition, frame: Frame, output: JSON, error: ev.Error | None) -> None:
        again = False
        if error is None:
            again, error = _wants_another(run, frame)
        run.emit(ev.BlockFinished(at=run.at, path=frame.key, output=output, error=error, again=again))

    def output_of(self, step: StepState) -> Template | None:
        return _repeat(step).output

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        step.input = {"key": round_key(state, step.path)}
        state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
        step.iteration, step.last, step.failure, step.timer_fired = 0, None, None, True
        state.look_at(step)

    def block_started(self, state: RunState, step: StepState, event: ev.BlockStarted) -> None:
        assert step.node.body is not None
        step.timer_fired = False
        index, names = step.iteration, {"index": step.iteration, "last": step.last}
        frame = Frame(event.path, step.node.body, "iteration", owner=step, outer=step.frame, index=index, vars=names)
        step.iteration += 1
        step.bodies.clear()  # only the last iteration can continue after a resume
        open_frame(state, frame)

    def block_finished(self, state: RunState, step: StepState, frame: Frame, event: ev.BlockFinished) -> None:
        """Let the next iteration begin at once or after a pause, or end the step (`timer_fired` false, `answer` set)."""
        step.last = event.output
        if event.error is not None:
            step.failure = step.failure or event.error
        every, most = _repeat(step).every, _repeat(step).max
        if event.error is not None or not event.again:
            step.answer = (step.last, event.error)
        elif every and step.iteration < most:
            state.set_timer(step.path, "pause", event.at + every)
        else:
            step.timer_fired = True


def _repeat(step: StepState) -> Repeat:
    action = step.node.step.action
    assert isinstance(action, Repeat)
    return action


def _wants_another(run: Transition, frame: Frame) -> tuple[bool, ev.Error | None]:
    """Whether `until` asks for a further iteration after this one (`while` is looked at before the next)."""
    assert frame.owner is not None
    until = _repeat(frame.owner).until
    if until is None:
        return True, None
    over, error = run.holds(until, frame)
    return error is None and not over, error


def _next_iteration(run: Transition, step: StepState) -> None:
    action = _repeat(step)
    if action.condition is not None:
        names = {"index": step.iteration, "last": step.last}
        wanted, error = run.holds(action.condition, step, names)
        if not wanted:
            end_attempt(run, step, step.last, error)
            return
    if step.iteration < action.max:
        key = f"{step.input['key']}[{step.iteration}]"
        run.emit(ev.BlockStarted(at=run.at, path=key, role="iteration", owner=step.path))
    elif action.on_max == "continue" or (action.until is None and action.condition is None):
        end_attempt(run, step, step.last, None)
    else:
        missed = "`until` did not come true" if action.until is not None else "`while` stayed true"
        end_attempt(run, step, None, ev.Error("repeat.exhausted", f"{missed} in {action.max} iterations"))
