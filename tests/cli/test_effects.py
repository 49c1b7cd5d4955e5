"""Effects from the command line: doubt after a kill, verdicts, keys shared by two processes, undo that fails aloud."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

CHARGE = """
    loop: charge
    steps:
      - id: pay
        effect: once
        shell: |
          echo paid >> ledger
          if [ -e slow ]; then sleep 60; fi
          echo receipt
      - id: ship
        set: {for: "${{ steps.pay.output }}"}
"""


def paid(root: Path) -> int:
    ledger = root / "ledger"
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


@pytest.fixture
def cut_off(project: Any, agentctl: Any) -> Any:
    """A run whose process got that signal while the step executed."""

    def make(number: int, definition: str = CHARGE, target: str = "loops/charge.yaml") -> Any:
        project.write(target, definition)
        (project.root / "slow").touch()
        process = agentctl.start("run", target)
        eventually(lambda: paid(project.root) == 1)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        (project.root / "slow").unlink()
        return process.returncode, said

    return make


def run_id(agentctl: Any) -> str:
    return agentctl("history", "--json").json[-1]["run_id"]


def test_a_kill_while_a_step_takes_effect_leads_to_a_question_with_its_answers(
    agentctl: Any, project: Any, cut_off: Any
) -> None:
    code, _ = cut_off(signal.SIGKILL)
    assert code == -signal.SIGKILL
    resumed = agentctl("resume", "last")
    found = run_id(agentctl)
    assert resumed.code == 3
    assert resumed.err.splitlines()[-3:] == [
        f"  done:   agentctl resume {found} --step pay --as done",
        f"  retry:  agentctl resume {found} --step pay --as retry",
        f"  failed: agentctl resume {found} --step pay --as failed",
    ]
    assert "charge  ? pay  of unknown outcome" in resumed.err
    assert agentctl("resume", "last", "--json").json["status"] == "blocked"
    assert agentctl("history", "--json").json[0]["status"] == "blocked"
    shown = agentctl("show", "last")
    assert "■ blocked" in shown.out
    assert shown.out.rstrip().endswith(f"agentctl resume {found} --step pay --as failed")
    assert agentctl("show", "last", "--json").json["steps"][0]["status"] == "unknown"
    assert paid(project.root) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_effect_is_in_doubt_as_well(agentctl: Any, project: Any, cut_off: Any, number: int) -> None:
    code, said = cut_off(number)
    assert code == 130
    assert said.splitlines()[-1].startswith("interrupted; resume it with: agentctl resume ")
    assert agentctl("resume", "last").code == 3
    assert paid(project.root) == 1


@pytest.mark.parametrize(
    ("options", "code", "output", "payments"),
    [
        (["--as", "done", "--output", '"R-7"'], 0, {"for": "R-7"}, 1),
        (["--as", "done"], 0, {"for": None}, 1),
        (["--as", "retry"], 0, {"for": "receipt"}, 2),
        (["--as", "failed"], 1, None, 1),
    ],
)
@pytest.mark.parametrize("asked", [True, False])  # whether somebody resumed the run before, to be told of the doubt
def test_a_verdict_drives_the_run_on(
    agentctl: Any, project: Any, cut_off: Any, options: list[str], code: int, output: Any, payments: int, asked: bool
) -> None:
    cut_off(signal.SIGKILL)
    if asked:
        agentctl("resume", "last")
    answered = agentctl("resume", "last", "--step", "pay", *options, "--json")
    assert answered.code == code, answered.out + answered.err
    assert answered.json["output"] == output
    assert paid(project.root) == payments
    resolved = [event for event in agentctl("show", "last", "--json").json["events"] if event["type"] == "StepResolved"]
    assert [event["verdict"] for event in resolved] == [options[1]]
    assert resolved[0]["by"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--step", "pya", "--as", "done"], 4, "has no step 'pya'; did you mean 'pay'?"),
        (["--step", "ship", "--as", "done"], 2, "step ship of run"),
        (["--step", "pay"], 2, "--step pay needs --as done, --as retry or --as failed"),
        (["--as", "done"], 2, "name it with --step PATH"),
        (["--output", "1"], 2, "name it with --step PATH"),
        (["--step", "pay", "--as", "don"], 2, "--as takes done, retry or failed, not 'don'; did you mean 'done'?"),
        (["--step", "pay", "--as", "done", "--output", "{a"], 2, "--output takes JSON"),
        (["--step", "pay", "--as", "retry", "--output", "1"], 2, "--output goes with --as done"),
        (["--step", "pay", "--as", "done", "--from", "pay"], 2, "leave out --from"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_and_changes_nothing(
    agentctl: Any, cut_off: Any, options: list[str], code: int, said: str
) -> None:
    cut_off(signal.SIGKILL)
    agentctl("resume", "last")
    before = agentctl("show", "last", "--json").json["events"]
    refused = agentctl("resume", "last", *options)
    assert refused.code == code
    assert said in refused.err
    assert agentctl("show", "last", "--json").json["events"] == before


def test_a_finished_step_is_not_in_doubt(agentctl: Any, project: Any) -> None:
    project.write("loops/charge.yaml", CHARGE)
    agentctl("run", "charge")
    refused = agentctl("resume", "last", "--step", "pay", "--as", "failed")
    assert refused.code == 2
    assert "is not in doubt: it is succeeded" in refused.err


def test_a_cancelled_run_says_what_it_leaves_in_doubt(agentctl: Any, project: Any, cut_off: Any) -> None:
    cut_off(signal.SIGKILL)
    agentctl("cancel", "last")
    cancelled = agentctl("resume", "last")
    assert cancelled.code == 1
    assert cancelled.err.splitlines()[-1].endswith("--step pay --as failed")
    answered = agentctl("resume", "last", "--step", "pay", "--as", "done", "--output", '"R-8"', "--json")
    assert (answered.code, answered.json["status"]) == (1, "cancelled")
    resumed = agentctl("resume", "last", "--json")
    assert (resumed.code, resumed.json["output"]) == (0, {"for": "R-8"})
    assert paid(project.root) == 1


def test_the_doubt_of_a_child_is_told_and_answered_for_its_parent(agentctl: Any, project: Any, cut_off: Any) -> None:
    project.write("skills/charge.yaml", CHARGE.replace("loop:", "skill:"))
    order = """
        loop: order
        steps:
          - {id: call, skill: charge}
          - {id: end, set: {got: "${{ steps.call.output.for }}"}}
    """
    cut_off(signal.SIGKILL, order, "loops/order.yaml")
    resumed = agentctl("resume", "last")
    assert resumed.code == 3
    answer = resumed.err.splitlines()[-3].split("agentctl ")[1].split()
    answered = agentctl(*answer, "--output", '"R-9"', "--json")
    assert (answered.code, answered.json["loop"], answered.json["output"]) == (0, "order", {"got": "R-9"})
    assert paid(project.root) == 1


KEYED = """
    loop: keyed
    input: {order: {type: string}}
    steps:
      - id: pay
        idempotency_key: ${{ input.order }}
        shell: |
          echo paid >> ledger
          if [ -e slow ]; then sleep 60; fi
          if [ -e broken ]; then exit 1; fi
          echo "receipt of $AGENTCTL_RUN_ID"
"""


def test_a_reused_result_says_whose_it_is(agentctl: Any, project: Any) -> None:
    project.write("loops/keyed.yaml", KEYED)
    first = agentctl("run", "keyed", "-i", "order=7", "--json").json
    second = agentctl("run", "keyed", "-i", "order=7")
    assert second.out == f"receipt of {first['run_id']}\n"
    assert f"= pay  reused from {first['run_id']}/pay" in second.err
    assert f"reused from {first['run_id']}/pay" in agentctl("show", "last").out
    (step,) = agentctl("show", "last", "--json").json["steps"]
    assert (step["status"], step["source"]) == ("reused", f"{first['run_id']}/pay")
    assert paid(project.root) == 1


def test_a_key_of_a_dead_run_is_waited_for_and_show_says_for_whom(agentctl: Any, project: Any, cut_off: Any) -> None:
    project.write("loops/keyed.yaml", KEYED)
    (project.root / "slow").touch()
    process = agentctl.start("run", "keyed", "-i", "order=7")
    eventually(lambda: paid(project.root) == 1)
    process.kill()
    process.communicate()
    (project.root / "slow").unlink()
    first = run_id(agentctl)
    second = agentctl("run", "keyed", "-i", "order=7", "--no-wait")
    assert second.code == 3
    assert f"… pay  waits for the result of {first}/pay" in second.err
    by = f"continue it with: agentctl serve, or agentctl resume {first}"
    assert f"  no process is driving run {first} (interrupted); {by}\n" in second.err
    assert f"waits for the result of {first}/pay" in agentctl("show", "last").out
    assert agentctl("show", "last", "--json").json["steps"][0]["waits_for"] == f"{first}/pay"
    waiting = agentctl.start("resume", "last", "--json")
    assert agentctl("resume", first).code == 0
    out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert f"receipt of {first}" in out
    assert paid(project.root) == 2  # at least once: the first attempt died with its process


def test_a_key_whose_holder_fails_goes_to_the_next_process(agentctl: Any, project: Any) -> None:
    project.write("loops/keyed.yaml", KEYED)
    (project.root / "slow").touch()
    process = agentctl.start("run", "keyed", "-i", "order=7")
    eventually(lambda: paid(project.root) == 1)
    (project.root / "slow").unlink()
    second = agentctl.start("run", "keyed", "-i", "order=7", "--json")
    eventually(lambda: "waiting" in agentctl("history", "--json").out)
    agentctl("cancel", run_id(agentctl))
    out, _ = second.communicate(timeout=30)
    assert process.wait(timeout=30) == 1
    assert second.returncode == 0
    assert "receipt of" in out
    assert paid(project.root) == 2


UNDO = """
    loop: order
    steps:
      - id: reserve
        shell: echo reserve >> done
        undo: {shell: echo release >> done}
      - id: each
        foreach: [1, 2]
        steps:
          - id: pay
            env: {N: "${{ item }}"}
            shell: echo "pay $N" >> done
            undo:
              env: {N: "${{ item }}"}
              shell: |
                if [ "$N" = 2 ] && [ ! -e bank ]; then echo "the bank is closed" >&2; exit 3; fi
                echo "refund $N" >> done
      - id: ship
        shell: |
          if [ ! -e stock ]; then exit 1; fi
          echo ship >> done
    on_failure:
      - {id: tell, shell: echo told >> done}
"""


def test_an_undo_that_fails_is_told_aloud_and_the_rest_still_run(agentctl: Any, project: Any) -> None:
    project.write("loops/order.yaml", UNDO)
    failed = agentctl("run", "order")
    done = project.root / "done"
    assert failed.code == 1
    assert done.read_text().splitlines() == ["reserve", "pay 1", "pay 2", "refund 1", "release", "told"]
    said = "✗ NOT UNDONE: each[1].pay: its undo failed, so what it did still stands: shell.exit"
    assert failed.err.splitlines()[-1].startswith(said)
    shown = agentctl("show", "last")
    assert "NOT UNDONE: each[1].pay" in shown.out
    steps = {step["path"]: step["status"] for step in agentctl("show", "last", "--json").json["steps"]}
    assert (steps["each[0].pay.undo"], steps["each[1].pay.undo"]) == ("succeeded", "failed")


def test_a_resume_runs_what_was_undone_anew(agentctl: Any, project: Any) -> None:
    project.write("loops/order.yaml", UNDO)
    (project.root / "bank").touch()
    assert agentctl("run", "order").code == 1
    (project.root / "done").unlink()
    (project.root / "stock").touch()
    resumed = agentctl("resume", "last")
    assert resumed.code == 0, resumed.err
    assert (project.root / "done").read_text().splitlines() == ["reserve", "pay 1", "pay 2", "ship"]


def test_a_cancelled_run_is_undone(agentctl: Any, project: Any) -> None:
    project.write("loops/order.yaml", UNDO.replace("if [ ! -e stock ]; then exit 1; fi", "touch shipping; sleep 60"))
    (project.root / "bank").touch()
    process = agentctl.start("run", "order")
    eventually((project.root / "shipping").exists)
    agentctl("cancel", "last", "--reason", "changed my mind")
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert (project.root / "done").read_text().splitlines()[-3:] == ["refund 2", "refund 1", "release"]
