"""Random definitions for the interpreter: every kind of step, nested, with every key that changes the flow."""

from __future__ import annotations

from hypothesis import strategies as st

from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import (
    Approve,
    Definition,
    Fail,
    Foreach,
    Group,
    Repeat,
    Retry,
    Return,
    Skill,
    Step,
    Task,
    Wait,
)

LITERAL = parse_value({"v": 1})
PROBE = Step(id="look", action=Task("set", LITERAL), uses="set")
CONDITIONS = [None, None, None, parse_expression("false"), parse_expression("true"), parse_expression("nowhere.x")]
RETRIES = [
    Retry(),
    Retry(),
    Retry(attempts=2, delay=0.5),
    Retry(attempts=3, delay=2.0, on=("*",)),
    Retry(attempts=2, never=("timeout",)),
]


@st.composite
def steps_lists(draw: st.DrawFn, depth: int, most: int = 4) -> tuple[Step, ...]:
    count = draw(st.integers(1, most))
    return tuple(draw(steps(f"s{i}", [f"s{j}" for j in range(i)], depth)) for i in range(count))


@st.composite
def steps(draw: st.DrawFn, id: str, earlier: list[str], depth: int) -> Step:
    needs = tuple(draw(st.lists(st.sampled_from(earlier), unique=True))) if earlier else ()
    inner = steps_lists(depth - 1, most=3)
    kinds = ["task", "task", "task", "task", "wait", "approve", "skill", "fail", "return"]
    kind = draw(st.sampled_from(kinds + (["group", "foreach", "repeat"] * 2 if depth else [])))
    match kind:
        case "task":
            action = Task("set", LITERAL)
        case "wait":
            timeout = draw(st.sampled_from([None, 3.0]))
            event = Wait(event=parse_value("e"), timeout=timeout)
            action = draw(st.sampled_from([Wait(duration=parse_value("5s")), Wait(run=parse_value("other")), event]))
        case "approve":
            on_timeout = draw(st.sampled_from(["fail", "reject", "approve"]))
            action = Approve(parse_value("may I?"), timeout=draw(st.sampled_from([None, 3.0])), on_timeout=on_timeout)
        case "skill":
            action = Skill("child", LITERAL, detach=draw(st.booleans()))
        case "fail":
            action = Fail(parse_value({"message": "no"}))
        case "return":
            action = Return(parse_value("early"))
        case "group":
            action = Group(draw(inner))
        case "foreach":
            items = draw(st.sampled_from([[], [1], [1, 2, 3]]))
            action = Foreach(parse_value(items), draw(inner), max_parallel=draw(st.integers(1, 3)))
        case _:
            until = draw(st.sampled_from([None, parse_expression("index >= 1"), parse_expression("nowhere")]))
            every = draw(st.sampled_from([0.0, 3.0]))
            on_max = draw(st.sampled_from(["fail", "continue"]))
            action = Repeat(draw(inner), until=until, max=draw(st.integers(1, 3)), every=every, on_max=on_max)
    once = kind == "task" and draw(st.integers(0, 2)) == 0
    on_unknown = draw(st.sampled_from(["ask", "fail", "probe"])) if once else "ask"
    return Step(
        id=id,
        action=action,
        uses=kind,
        effect="once" if once else "repeatable",
        on_unknown=on_unknown,
        probe=(PROBE,) if on_unknown == "probe" else (),
        idempotency_key=parse_value("key") if draw(st.integers(0, 5)) == 0 else None,
        needs=needs,
        condition=draw(st.sampled_from(CONDITIONS)),
        timeout=draw(st.sampled_from([None, None, 4.0])),
        retry=draw(st.sampled_from(RETRIES)),
        fallback=draw(steps_lists(0, most=2)) if draw(st.integers(0, 5)) == 0 else (),
        continue_on_error=draw(st.integers(0, 4)) == 0,
        undo=draw(undo_steps(depth)) if draw(st.integers(0, 4)) == 0 else None,
    )


@st.composite
def undo_steps(draw: st.DrawFn, depth: int) -> Step:
    """Mostly one simple step; now and then one of any kind."""
    if draw(st.integers(0, 2)):
        return Step(id="undo", action=Task("set", LITERAL), uses="set")
    return draw(steps("undo", [], min(depth, 1)))


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    handlers = {
        name: draw(steps_lists(draw(st.sampled_from([0, 0, 1])), most=2)) if draw(st.integers(0, 3)) == 0 else ()
        for name in ("on_failure", "on_success", "on_cancel", "finally_")
    }
    return Definition(
        kind="loop", name="random", steps=draw(steps_lists(2)), timeout=draw(st.sampled_from([None, None, 30.0])), **handlers
    )
