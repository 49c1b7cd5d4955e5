"""Decisions on one step: whether it starts, what follows a failed attempt, what follows an outcome that nobody knows."""

from __future__ import annotations

import json

from agentctl import JSON
from agentctl.core import dispatch, ending, signatures, tool_calls, tool_walls
from agentctl.core import events as ev
from agentctl.core.fold_attempts import outcome_lost
from agentctl.core.frames import round_key
from agentctl.core.kinds.kind import end_attempt, fail_start
from agentctl.core.kinds.registry import kind_of
from agentctl.core.state import StepState
from agentctl.core.transition import Transition
from agentctl.expressions.template import Template
from agentctl.expressions.values import extract_secrets
from agentctl.paths import without_rounds


def start(run: Transition, step: StepState) -> None:
    """Decide what becomes of a step whose needs are met: it is skipped, gets a recorded result, or begins its first attempt."""
    if step.key is None:  # else all this was decided before the search for a recorded result
        definition = step.node.step
        refused = tool_calls.problem(run.state, step) if step.call is not None else None
        if refused is not None:
            fail_start(run, step, refused)
            return
        if definition.condition is not None:
            wanted, error = run.holds(definition.condition, step)
            if error is not None:
                fail_start(run, step, error)
                return
            if not wanted:
                run.emit(ev.StepSkipped(at=run.at, path=step.path))
                return
        if _is_settled_before(run, step):
            return
        key = definition.cache.key if definition.cache is not None else definition.idempotency_key
        if key is not None:
            _look_for_result(run, step, key)
            return
    if not signatures.ask(run, step):
        kind_of(step).begin(run, step)


def _is_settled_before(run: Transition, step: StepState) -> bool:
    """Whether an earlier round of an `effect: once` step decides this one: the step keeps that round's result, or its doubt."""
    kept = _kept_result(run, step)
    if kept is not None:
        output, source = kept
        run.emit(ev.StepSucceeded(at=run.at, path=step.path, output=output, status="reused", source=source))
        return True
    doubted = run.state.doubts.get(tool_calls.identity(step))
    if doubted is not None and (step.call is None or doubted.dropped):
        message = "the outcome of its attempt in an earlier round is not known"
        error = ev.Error("step.unknown_outcome", message, step.path, step.attempt)
        run.emit(ev.OutcomeUnknown(at=run.at, path=step.path, error=error))
        return True
    return False


def _kept_result(run: Transition, step: StepState) -> tuple[JSON, str] | None:
    """The output that an `effect: once` step has from an earlier round, or an answer given before, and where it comes from."""
    again = tool_walls.asked_before(step) if step.call is not None else None
    if again is not None:
        return again[0], f"{run.state.run_id}/{without_rounds(again[1])}"
    if not step.node.is_once:
        return None
    if step.call is not None:
        entry = tool_calls.earlier(run.state, step)
        return None if entry is None else (entry.output, entry.source)
    path = without_rounds(step.path)
    return (run.state.once[path], f"{run.state.run_id}/{path}") if path in run.state.once else None


def _look_for_result(run: Transition, step: StepState, key: Template) -> None:
    value, error = run.evaluate(key, step)
    if error is None and key.names_secrets and extract_secrets(value)[1]:
        error = ev.Error("expression", "a key is recorded, so no secret may be part of it")
    elif error is None and (value is None or value == ""):
        error = ev.Error("expression", "the key of the step is empty")
    if error is not None:
        fail_start(run, step, error)
        return
    cache = step.node.step.cache
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    run.emit(ev.StepKeyed(at=run.at, path=step.path, key=text, ttl=cache.ttl if cache is not None else None))


def look_at_step(run: Transition, step: StepState) -> None:
    """Decide what follows now that something about a step has changed."""
    if step.frame.closed:  # its list has ended without it
        if step.status == "unknown" and run.state.phase == "settled":
            _settle_doubt(run, step)
        return
    if step.halted is not None:
        ending.look_at_timed_out(run, step)
    elif step.status == "failing":
        _after_failure(run, step)
    elif step.frame.is_halted():
        ending.look_at_halted(run, step.frame)
    elif step.status == "unknown":
        _look_at_unknown(run, step)
    elif step.lost:
        run.emit(ev.OutcomeUnknown(at=run.at, path=step.path, error=outcome_lost(step)))
    elif step.status == "retrying":
        if step.timer_fired and not run.holds_back(step):
            _begin_next(run, step)
    elif step.status == "waiting":
        if step.answer is not None:
            end_attempt(run, step, *step.answer)
        elif step.timer_fired and signatures.is_waited_for(run.state, step):
            signatures.out_of_time(run, step)
        elif step.timer_fired:
            end_attempt(run, step, *kind_of(step).out_of_time(step, run.at))
    elif step.status == "running":
        kind_of(step).look(run, step)


def _begin_next(run: Transition, step: StepState) -> None:
    if step.begun:
        kind_of(step).begin_again(run, step)
    else:
        start(run, step)  # its expressions failed, so it has no input yet


def _after_failure(run: Transition, step: StepState) -> None:
    """Another attempt, the fallback, or failure for good."""
    error = step.error
    assert error is not None
    if step.stopping or step.frame.is_halted():
        run.emit(ev.StepCancelled(at=run.at, path=step.path))
        return
    if step.node.is_once and step.node.body is None and error.leaves_doubt:
        message = f"the attempt gave no answer that could be read ({error.type}: {error.message})"
        error = ev.Error("step.unknown_outcome", message, step.path, step.attempt, error.data)
        run.emit(ev.OutcomeUnknown(at=run.at, path=step.path, error=error))
        return
    due = kind_of(step).next_due(run, step, error)
    if due is not None and error.type != "step.unknown_outcome":  # that never executes again by itself
        run.emit(ev.RetryScheduled(at=run.at, path=step.path, attempt=step.attempt + 1, due=due, error=error))
    elif step.node.fallback is not None:
        key = round_key(run.state, f"{step.path}.fallback")
        run.emit(ev.BlockStarted(at=run.at, path=key, role="fallback", owner=step.path))
    else:
        run.emit(ev.StepFailed(at=run.at, path=step.path, error=error))


def _settle_doubt(run: Transition, step: StepState) -> None:
    """Record what a person found out about a step of a run that has ended. It does not execute again: the run is over."""
    if step.answer is None:
        if step.timer_fired:
            run.emit(ev.StepCancelled(at=run.at, path=step.path))
        return
    output, error = step.answer
    if error is None:
        run.emit(ev.StepSucceeded(at=run.at, path=step.path, output=output))
    else:
        run.emit(ev.StepFailed(at=run.at, path=step.path, error=error))


def _look_at_unknown(run: Transition, step: StepState) -> None:
    """Do what `on_unknown` says, or what a person or the probe has found out."""
    if step.frames:
        return
    definition, error = step.node.step, step.error
    assert error is not None
    if step.timer_fired:
        if run.holds_back(step):
            return
        if step.begun:
            kind_of(step).begin_again(run, step)
        else:
            kind_of(step).begin(run, step)  # the doubt is of an earlier round
    elif step.answer is not None:
        end_attempt(run, step, *step.answer)
    elif definition.on_unknown == "fail":
        end_attempt(run, step, None, error)
    elif step.node.probe is not None and not step.probed:
        key = round_key(run.state, f"{step.path}.probe")
        run.emit(ev.BlockStarted(at=run.at, path=key, role="probe", owner=step.path))
    elif not run.state.is_taken_over:  # else it is among the open commands
        run.commands.append(dispatch.ask(step))
