"""Calls are effects of their own: keys, doubt, signatures, results that are handed over, undo, child runs, resume."""

from __future__ import annotations

import hashlib
import json

import pytest
from model_server import call, calls, observations, say

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

REFUND = """
loop: desk
steps:
  - id: find
    agent:
      goal: Settle it.
      tools:
        - name: refund
          description: Pays money back.
          args: {amount: {type: integer}, order: {type: string, default: o1}}
          env: {AMOUNT: "${{ args.amount }}"}
          shell: 'echo "$AMOUNT $AGENTCTL_IDEMPOTENCY_KEY" >> paid.log; echo "paid $AMOUNT"'
          %(tool)s
  %(more)s
"""


def definition(*tool: str, more: str = "- set: {after: 1}") -> str:
    return REFUND % {"tool": "\n          ".join(tool) or "max_calls: 99", "more": more}


def key(tool: str, arguments: dict) -> str:
    text = json.dumps([tool, arguments], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def paid(project) -> list[str]:
    return [line.split()[0] for line in project.lines("paid.log")]


def test_the_key_of_a_call_holds_the_hash_of_its_tool_and_arguments(agent):
    project = agent([call("refund", {"amount": 5}), say("ok")])
    project.write("loops/desk.yaml", definition())
    project.start("desk")
    wanted = f"{project.run_id}/find.turn[0].call[0]#{key('refund', {'amount': 5})}"
    assert project.lines("paid.log") == [f"5 {wanted}"]
    step = project.steps()["find.turn[0].call[0]"]
    assert (step["key"], step["input"], step["tool"]) == (wanted, {"amount": 5}, "refund")


def test_the_same_refund_in_two_turns_and_after_a_resume_is_one_effect_and_another_amount_a_second(agent):
    refund = {"amount": 5}
    script = [call("refund", refund), call("refund", refund, text="again"), call("refund", {"amount": 7}), say("ok")]
    project = agent(script)
    project.write("loops/desk.yaml", definition("effect: once", "idempotency_key: ${{ args.order }}-${{ args.amount }}"))
    project.start("desk")
    assert paid(project) == ["5", "7"]
    steps = project.steps()
    assert [steps[f"find.turn[{n}].call[0]"]["status"] for n in range(3)] == ["succeeded", "reused", "succeeded"]
    assert observations(project.model.requests[2]) == ["paid 5", "paid 5"]
    project.model.script = lambda body, number: say("done") if len(observations(body)) > 1 else call("refund", {"amount": 7})
    assert project.resume("find.turn[1]").output == {"after": 1}
    assert paid(project) == ["5", "7"]
    assert project.start("desk").status == "succeeded"
    assert paid(project) == ["5", "7"]


def test_a_finished_once_call_hands_its_result_to_the_same_call_of_a_later_round_and_to_no_other(agent):
    project = agent([call("refund", {"amount": 5}), call("refund", {"amount": 5}), say("ok")])
    project.write("loops/desk.yaml", definition("effect: once"))
    project.start("desk")
    assert paid(project) == ["5", "5"]  # without a key, two calls of one round are two
    project.model.script = [call("refund", {"amount": 5})] * 7 + [say("ok")]
    project.model.requests.clear()
    project.model.script = lambda body, number: call("refund", {"amount": 5}, text=str(number)) if number < 3 else say("ok")
    project.resume("find")
    assert paid(project) == ["5", "5", "5"]
    steps = project.steps()
    statuses = [step["status"] for path, step in steps.items() if path.startswith("find@2.turn") and "call" in path]
    assert statuses == ["reused", "reused", "succeeded"]


def test_from_a_turn_drops_it_and_all_after_it(agent):
    project = agent(lambda body, number: call("refund", {"amount": number}) if number < 4 else say("ok"))
    project.write("loops/desk.yaml", definition())
    project.start("desk")
    project.model.requests.clear()
    project.model.script = lambda body, number: call("refund", {"amount": 9}) if number == 0 else say("other")
    project.resume("find.turn[2]")
    assert project.model.turns == [2, 3]
    assert observations(project.model.requests[1]) == ["paid 0", "paid 1", "paid 9"]
    assert [path for path in project.steps() if path.startswith("find.turn")][-1] == "find.turn[3]"
    assert project.steps()["find"]["output"] == "other"


@pytest.mark.parametrize(
    ("verdict", "heard", "times"),
    [("done", "paid by hand", 1), ("retry", "paid 5", 2), ("failed", "error step.unknown_outcome", 1)],
)
def test_a_once_call_of_unknown_outcome_blocks_the_run_and_the_model_hears_what_a_person_found(agent, verdict, heard, times):
    project = agent([call("refund", {"amount": 5}), say("ok")])
    failing = "shell: 'echo \"$AMOUNT $AGENTCTL_IDEMPOTENCY_KEY\" >> paid.log; [ -e again ] || kill -9 $$; echo \"paid $AMOUNT\"'"
    text = definition("effect: once").replace(
        "shell: 'echo \"$AMOUNT $AGENTCTL_IDEMPOTENCY_KEY\" >> paid.log; echo \"paid $AMOUNT\"'", failing
    )
    project.write("loops/desk.yaml", text)
    row = project.start("desk")
    assert (row.status, len(project.model.requests)) == ("blocked", 1)
    assert project.steps()["find.turn[0].call[0]"]["status"] == "unknown"
    (project.root / "again").touch()
    row = project.resolve("find.turn[0].call[0]", verdict, "paid by hand" if verdict == "done" else None)
    assert row.status == "succeeded"
    assert observations(project.model.requests[1])[0].startswith(heard)
    assert len(set(project.lines("paid.log"))) == 1
    assert len(project.lines("paid.log")) == times


def test_a_call_waits_until_a_person_signs_just_what_is_executed(agent):
    project = agent([calls([("refund", {"amount": 50}), ("refund", {"amount": 5})], text="She is right."), say("ok")])
    project.write("loops/desk.yaml", definition("approve: args.amount > 10"))
    row = project.start("desk")
    assert (row.status, paid(project)) == ("waiting", ["5"])
    [waiting] = project.waits()
    assert (waiting.path, waiting.subject["show"]) == (
        "find.turn[0].call[0]",
        {
            "tool": "refund",
            "arguments": {"amount": 50, "order": "o1"},
            "description": "Pays money back.",
            "why": "She is right.",
            "untrusted": False,
        },
    )
    assert project.sign().status == "succeeded"
    assert paid(project) == ["5", "50"]
    assert observations(project.model.requests[1]) == ["paid 50", "paid 5"]


def test_a_rejected_call_is_not_made_and_the_model_hears_who_and_why(agent):
    project = agent([call("refund", {"amount": 50}), say("ok")])
    project.write("loops/desk.yaml", definition("approve: true"))
    project.start("desk")
    assert project.sign(approved=False, comment="too much").status == "succeeded"
    assert paid(project) == []
    assert observations(project.model.requests[1])[0].startswith("error approval.rejected: rejected by eve: too much")


def test_a_person_may_sign_other_values_and_the_model_is_told(agent):
    project = agent([call("refund", {"amount": 50}), say("ok")])
    project.write("loops/desk.yaml", definition("approve: {edit: [amount]}"))
    project.start("desk")
    [waiting] = project.waits()
    assert waiting.subject["form"] == {"amount": {"type": "integer", "default": 50}}
    project.sign(data={"amount": 20})
    assert paid(project) == ["20"]
    assert observations(project.model.requests[1]) == ['eve signed this call with other values: {"amount":20}\npaid 20']


@pytest.mark.parametrize(("then", "amounts"), [("reject", []), ("approve", ["50"])])
def test_a_signature_that_nobody_gives_in_time_counts_as_its_tool_says(agent, then, amounts):
    project = agent([call("refund", {"amount": 50}), say("ok")])
    project.write("loops/desk.yaml", definition(f"approve: {{timeout: 200ms, on_timeout: {then}}}"))
    assert project.start("desk", until="finished").status == "succeeded"
    assert paid(project) == amounts


def test_calls_are_undone_newest_first_when_the_run_fails_later(agent):
    project = agent([call("refund", {"amount": 5}), call("refund", {"amount": 7}), say("ok")])
    undo = "undo: {shell: [sh, -c, 'echo \"back $1 of $2\" >> paid.log', sh, \"${{ args.amount }}\", \"${{ output }}\"]}"
    project.write("loops/desk.yaml", definition("effect: once", undo, more="- fail: no"))
    assert project.start("desk").status == "failed"
    assert [line for line in project.lines("paid.log") if line.startswith("back")] == ["back 7 of paid 7", "back 5 of paid 5"]
    project.model.script = [say("ok")]
    project.resume()
    assert paid(project).count("5") == 2  # what was undone is done again


def test_no_more_calls_are_made_than_max_calls_says(agent):
    project = agent([calls([("refund", {"amount": 1}), ("refund", {"amount": 2})]), call("refund", {"amount": 3}), say("ok")])
    project.write("loops/desk.yaml", definition("max_calls: 2"))
    project.start("desk")
    assert sorted(paid(project)) == ["1", "2"]  # the two calls run beside each other
    assert project.steps()["find.turn[1].call[0]"]["error"]["type"] == "tool.max_calls"


def test_a_skill_is_a_tool_that_takes_its_input_and_a_function_one_that_takes_its_parameters(agent):
    project = agent([calls([("greet", {"who": "Ada"}), ("add", {"a": 2})]), say("ok")])
    project.write(
        "skills/greet.yaml",
        """
        skill: greet
        description: Greets somebody.
        input: {who: {type: string}, loud: {type: boolean, default: false}}
        steps: [{set: {text: "hello ${{ input.who }}"}}]
        output: ${{ steps.set_1.output.text }}
        """,
    )
    project.write(
        "pkg.py",
        """
        def add(a: int, b: int = 3) -> int:
            '''Adds.

            Args:
                a: the first
            '''
            return a + b
        """,
    )
    project.write(
        "loops/desk.yaml",
        """
        loop: desk
        steps:
          - id: find
            agent:
              goal: x
              tools: [{skill: greet}, {python: "pkg:add"}]
        """,
    )
    project.start("desk")
    offered = [tool["function"] for tool in project.model.requests[0]["tools"]]
    assert [(tool["name"], tool["description"]) for tool in offered] == [("greet", "Greets somebody."), ("add", "Adds.")]
    assert offered[0]["parameters"]["required"] == ["who"]
    assert offered[1]["parameters"]["properties"]["a"] == {"type": "integer", "description": "the first"}
    assert observations(project.model.requests[1]) == ["hello Ada", "5"]
    assert "find.tools" not in project.steps()


def test_an_agent_that_takes_too_long_stops_what_it_does_and_fails(agent):
    project = agent([call("refund", {"amount": 5})])
    text = definition().replace("echo \"paid $AMOUNT\"'", "sleep 30'").replace("- id: find", "- id: find\n    timeout: 500ms")
    project.write("loops/desk.yaml", text)
    row = project.start("desk")
    assert row.error is not None
    assert (row.error.type, row.error.step) == ("timeout", "find")
    assert project.steps()["find.turn[0].call[0]"]["status"] == "cancelled"
