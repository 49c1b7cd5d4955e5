"""One decision under way: looks at what the fold marked (`RunState.due`) and says what follows, until nothing does."""

from __future__ import annotations

from hashlib import sha256

from agentctl import JSON
from agentctl.core import budget, dispatch, ending, retry, start
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.fold import apply
from agentctl.core.fold_attempts import outcome_lost
from agentctl.core.frames import round_key
from agentctl.core.scope import Scope, scope_of
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.timestamps import rfc3339
from agentctl.errors import ExpressionError
from agentctl.expressions.duration import format_duration
from agentctl.expressions.template import Template
from agentctl.expressions.values import SECRET_MISUSE, SecretText
from agentctl.model import Approve, Repeat, Skill, Wait


class Decider:
    """One decision under way: the events so far, the commands they call for."""

    __slots__ = ("at", "commands", "events", "state")

    def __init__(self, state: RunState, at: float) -> None:
        self.state = state
        self.at = at
        self.events: list[ev.AnyEvent] = []
        self.commands: list[cmd.Command] = []

    def emit(self, event: ev.AnyEvent) -> None:
        """Fold an event in, keep it for the journal, and note what it asks a driver to do."""
        state = self.state
        apply(state, event)
        self.events.append(event)
        self.commands += dispatch.called_for(state, event)
        state.forgotten.clear()

    def work_off(self) -> None:
        """Look at everything that the fold marked, until nothing is left to decide."""
        due = self.state.due
        while due:
            item = due.popleft()
            item.queued = False
            if isinstance(item, Frame):
                self._look_at_frame(item)
            elif isinstance(item, StepState):
                self._look_at_step(item)
            else:
                ending.look_at_run(self)

    def _holds_back(self) -> bool:
        """Whether nothing may start now. The journal says nothing of it: who takes the run over finds it ready again."""
        self.state.held_back |= self.state.on_hold
        return self.state.on_hold

    # --- a list of steps -------------------------------------------------------------------------------------------

    def _look_at_frame(self, frame: Frame) -> None:
        if frame.closed:
            return
        if frame.is_halted():
            ending.look_at_halted(self, frame)
            return
        while frame.ready and frame.failure is None and not frame.is_halted():
            if self._holds_back():
                return
            step = frame.steps[frame.ready[0]]
            start.start(self, step)
        if self.state.frames.get(frame.key) is not frame:
            return  # a `return` among them closed it
        if frame.is_halted():
            ending.look_at_halted(self, frame)
        elif not frame.live and (frame.failure is not None or frame.left == 0):
            self._close(frame)

    def _close(self, frame: Frame) -> None:
        """All its steps have ended, or one failed and the others that ran have."""
        error, output = frame.failure, None
        if error is None:
            output, error = self._output_of(frame)
        owner = frame.owner
        match frame.role:
            case "main":
                ending.settle(self, error, output)
            case "group":
                assert owner is not None
                self.end_container(owner, output, error)
            case "fallback":
                assert owner is not None
                if error is not None:
                    self.emit(ev.StepFailed(at=self.at, path=owner.path, error=error))
                else:
                    self.emit(ev.StepSucceeded(at=self.at, path=owner.path, output=output, status="recovered"))
            case "iteration":
                again, error = (False, error) if error is not None else self._goes_on(frame)
                self.emit(ev.BlockFinished(at=self.at, path=frame.key, output=output, error=error, again=again))
            case _:  # item, probe, undo, handler
                self.end_block(frame, output, error)

    def end_block(self, frame: Frame, output: JSON, error: ev.Error | None) -> None:
        """A list is over whose end is not at once that of a step."""
        self.emit(ev.BlockFinished(at=self.at, path=frame.key, output=output, error=error))
        if frame.role == "undo" and error is None:
            self.commands += dispatch.withdrawals(self.state.steps[frame.prefix.removesuffix(".")])

    def _output_of(self, frame: Frame) -> tuple[JSON, ev.Error | None]:
        """By the `output` expression that goes with the list, else what its last step put out."""
        template: Template | None = None
        if frame.role == "main":
            template = self.state.plan.definition.output
        elif frame.owner is not None and frame.role != "fallback":
            template = getattr(frame.owner.node.step.action, "output", None)
        if template is None:
            return frame.steps[-1].output if frame.steps else None, None
        return self.evaluate(template, frame)

    def _goes_on(self, frame: Frame) -> tuple[bool, ev.Error | None]:
        """Whether a further iteration is wanted, as `until` says after this one (`while` is looked at before the next)."""
        assert frame.owner is not None
        action = frame.owner.node.step.action
        assert isinstance(action, Repeat)
        if action.until is None:
            return True, None
        over, error = self.holds(action.until, frame)
        return error is None and not over, error

    def end_container(self, step: StepState, output: JSON, error: ev.Error | None) -> None:
        if error is not None:
            self.emit(ev.AttemptFailed(at=self.at, path=step.path, attempt=step.attempt, error=error))
        else:
            status = "succeeded" if step.source is None else "reused"
            self.emit(
                ev.StepSucceeded(
                    at=self.at, path=step.path, attempt=step.attempt, output=output, status=status, source=step.source
                )
            )

    # --- a step ----------------------------------------------------------------------------------------------------

    def _look_at_step(self, step: StepState) -> None:
        if step.frame.closed:  # what is in doubt there stays so: its list went on without it
            return
        if step.halted is not None:
            ending.look_at_timed_out(self, step)
        elif step.status == "failing":
            self._after_failure(step)
        elif step.frame.is_halted():
            ending.look_at_halted(self, step.frame)
        elif step.status == "unknown":
            self._look_at_unknown(step)
        elif step.lost:
            self.emit(ev.OutcomeUnknown(at=self.at, path=step.path, error=outcome_lost(step)))
        elif step.status == "retrying" and step.fired:
            if self._holds_back():
                return
            if step.begun:
                self.emit_started(step)
            else:
                start.start(self, step)  # its expressions failed, so it has no input yet
        elif step.status == "waiting" and step.answer is not None:
            self.end_container(step, *step.answer)
        elif step.status == "waiting" and step.fired:
            self.end_container(step, *_out_of_time(step, self.at))
        elif step.status == "running" and step.node.kind == "foreach":
            self._look_at_foreach(step)
        elif step.status == "running" and step.node.kind == "repeat":
            self._look_at_repeat(step)

    def _after_failure(self, step: StepState) -> None:
        """Another attempt, the fallback, or failure for good."""
        error = step.error
        assert error is not None
        if step.stopping or step.frame.is_halted():
            self.emit(ev.StepCancelled(at=self.at, path=step.path))
            return
        if step.node.is_once and step.node.body is None and error.leaves_doubt:
            said = f"the attempt gave no answer that could be read ({error.type}: {error.message})"
            error = ev.Error("step.unknown_outcome", said, step.path, step.attempt, error.data)
            self.emit(ev.OutcomeUnknown(at=self.at, path=step.path, error=error))
            return
        definition = step.node.step
        due = retry.next_due(
            definition.retry,
            error,
            attempt=step.attempt,
            at=self.at,
            seed=f"{self.state.run_id}/{step.path}#{step.attempt}",
            retry_after=step.retry_after,
        )
        if due is not None and error.type != "step.unknown_outcome":  # that never executes again by itself
            self.emit(ev.RetryScheduled(at=self.at, path=step.path, attempt=step.attempt + 1, due=due, error=error))
        elif step.node.fallback is not None:
            key = round_key(self.state, f"{step.path}.fallback")
            self.emit(ev.BlockStarted(at=self.at, path=key, role="fallback", owner=step.path))
        else:
            self.emit(ev.StepFailed(at=self.at, path=step.path, error=error))

    def _look_at_unknown(self, step: StepState) -> None:
        """The outcome is in doubt: what `on_unknown` says, and what a person or the probe found."""
        if step.frames:
            return
        definition, error = step.node.step, step.error
        assert error is not None
        if step.fired:
            if self._holds_back():
                return
            if step.begun:
                self.emit_started(step)
            else:
                start.begin(self, step)  # the doubt is of an earlier round
        elif step.answer is not None:
            self.end_container(step, *step.answer)
        elif definition.on_unknown == "fail":
            self.end_container(step, None, error)
        elif step.node.probe is not None and not step.probed:
            key = round_key(self.state, f"{step.path}.probe")
            self.emit(ev.BlockStarted(at=self.at, path=key, role="probe", owner=step.path))
        else:
            self.commands.append(dispatch.ask(step))

    def emit_started(
        self, step: StepState, *, input: JSON = None, secrets: list[JSON] | None = None, child: str | None = None
    ) -> None:
        """The next attempt of a step. `input`: when it was evaluated just now.  `child`: the run a skill step goes on with."""
        if isinstance(step.node.step.action, Skill):
            child = child or self.child_id(step)
        attempt = step.attempt + 1
        if step.uses == "llm":
            refused = budget.refusal(self.state, step.path, step.input if input is None else input)
            if refused is not None:
                self.emit(ev.AttemptFailed(at=self.at, path=step.path, attempt=attempt, error=refused))
                return
        self.emit(ev.StepStarted(at=self.at, path=step.path, attempt=attempt, input=input, secrets=secrets or [], child=child))

    def child_id(self, step: StepState) -> str:
        """The id of the run that an attempt of a skill step starts: derived, so that a repeated spawn is the same run."""
        seed = f"{self.state.run_id}/{step.path}#{step.launches + 1}"
        number = int.from_bytes(sha256(seed.encode()).digest()[:8])
        return "".join("abcdefghijkmnpqrstuvwxyz23456789"[(number >> 5 * i) & 31] for i in range(12))

    def _look_at_foreach(self, step: StepState) -> None:
        if step.frames or (step.failure is None and (step.parked or step.iteration < len(step.outputs))):
            return
        self.end_container(step, step.outputs, step.failure)

    def _look_at_repeat(self, step: StepState) -> None:
        if step.frames:  # an iteration is under way, or the fallback that the last one led to
            return
        if step.answer is not None:
            self.end_container(step, *step.answer)
        elif step.fired:
            self._next_iteration(step)

    def _next_iteration(self, step: StepState) -> None:
        action = step.node.step.action
        assert isinstance(action, Repeat)
        if action.condition is not None:
            names = {"index": step.iteration, "last": step.last}
            wanted, error = self.holds(action.condition, step.frame, names)
            if not wanted:
                self.end_container(step, step.last, error)
                return
        if step.iteration < action.max:
            key = f"{step.input['key']}[{step.iteration}]"
            self.emit(ev.BlockStarted(at=self.at, path=key, role="iteration", owner=step.path))
        elif action.on_max == "continue" or (action.until is None and action.condition is None):
            self.end_container(step, step.last, None)
        else:
            missed = "`until` did not come true" if action.until is not None else "`while` stayed true"
            self.end_container(step, None, ev.Error("repeat.exhausted", f"{missed} in {action.max} iterations"))

    # --- expressions -----------------------------------------------------------------------------------------------

    def evaluate(self, template: Template, frame: Frame, names: dict[str, JSON] | None = None) -> tuple[JSON, ev.Error | None]:
        """The value of a template in `frame`, or the error object of a failed expression."""
        scope = scope_of(self.state, frame)
        if names:
            scope = Scope(self.state, {**scope, **names})
        try:
            return template.evaluate(scope), None
        except ExpressionError as error:
            return None, _failed(template, error.message)

    def holds(self, condition: Template, frame: Frame, names: dict[str, JSON] | None = None) -> tuple[bool, ev.Error | None]:
        """Whether a condition is true in `frame`; false with the error object when it cannot be told, as of a secret."""
        value, error = self.evaluate(condition, frame, names)
        if isinstance(value, SecretText):
            return False, _failed(condition, SECRET_MISUSE)
        return bool(value), error


def _failed(template: Template, message: str) -> ev.Error:
    source = template.source
    written = source if "${{" in source else f"${{{{ {source} }}}}"  # `if` and its like also come bare
    return ev.Error("expression", f"{message} in {written}" if source else message)


def _out_of_time(step: StepState, at: float) -> tuple[JSON, ev.Error | None]:
    """What a wait comes to when its time is over: for some that is what they waited for."""
    action = step.node.step.action
    if isinstance(action, Wait) and action.timeout is not None and action.on_timeout == "fail":
        missed = f"no event {step.input['event']} came" if "event" in step.input else f"run {step.input['run']} did not end"
        return None, ev.Error("wait.timeout", f"{missed} within {format_duration(action.timeout)}")
    if isinstance(action, Approve) and action.on_timeout != "approve":
        if action.on_timeout == "reject":
            return None, ev.Error("approval.rejected", "nobody answered in time, which counts as a rejection")
        return None, ev.Error("approval.timeout", f"nobody answered within {format_duration(action.timeout or 0.0)}")
    if isinstance(action, Approve):
        data = {name: field["default"] for name, field in action.form.items() if isinstance(field, dict) and "default" in field}
        return {"approved": True, "by": None, "comment": "nobody answered in time", "data": data, "at": rfc3339(at)}, None
    return None, None
