"""`state`, `stats`, `feedback`, the `history` action, and what this version refuses to run."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl.cli.approvals import login_name

COUNT = """
loop: count
input: {fail: {type: boolean, default: false}}
steps:
  - id: next
    set: {n: "${{ (state.n | default(0)) + 1 }}"}
  - remember: {n: "${{ steps.next.output.n }}", name: "run ${{ steps.next.output.n }}"}
  - if: input.fail
    fail: on purpose
output: ${{ steps.next.output.n }}
"""


@pytest.fixture
def counted(project: Any, agentctl: Any) -> Any:
    """A loop that counts its runs, run twice."""
    project.write("loops/count.yaml", COUNT)
    assert [agentctl("run", "count", "--json").json["output"] for _ in range(2)] == [1, 2]
    return agentctl


# --- state ---------------------------------------------------------------------------------------------------------


def test_state_shows_what_a_loop_remembers(counted: Any) -> None:
    assert counted("state", "count", "--json").json == {"n": 2, "name": "run 2"}
    assert counted("state", "count").out == "n: 2\nname: run 2\n"
    assert counted("state", "count", "get", "name").out == "run 2\n"
    assert counted("state", "count", "get", "n", "--json").json == 2


def test_what_a_run_remembered_before_it_failed_stays(counted: Any) -> None:
    assert counted("run", "count", "-i", "fail=true").code == 1
    assert counted("state", "count", "get", "n", "--json").json == 3


def test_an_edited_state_is_what_the_next_run_sees(counted: Any) -> None:
    assert counted("state", "set", "count", "n", "41", "--json").json == {"n": 41, "name": "run 2"}
    assert counted("run", "count", "--json").json["output"] == 42
    assert counted("state", "count", "set", "name", "not: json").code == 0
    assert counted("state", "unset", "count", "n", "--json").json == {"name": "not: json"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("cuont",), 4, "did you mean 'count'?"),
        (("count", "get", "m"), 4, "count remembers no 'm'"),
        (("count", "unset", "nam"), 4, "did you mean 'name'?"),
        (("count", "sett", "n", "1"), 2, "did you mean 'set'?"),
        (("count", "set", "n"), 2, "Missing argument 'VALUE'"),
        (("count", "get"), 2, "Missing argument 'KEY'"),
    ],
)
def test_a_slip_is_told_in_one_sentence(counted: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = counted("state", *arguments)
    assert result.code == code
    assert said in result.err
    assert len(result.err.splitlines()) == (2 if said.startswith("Missing") else 1)


def test_a_loop_that_never_ran_remembers_nothing_and_can_be_given_something(project: Any, agentctl: Any) -> None:
    project.write("loops/count.yaml", COUNT)
    assert agentctl("state", "count", "--json").json == {}
    assert agentctl("state", "count", "set", "n", "9").code == 0
    assert agentctl("run", "count", "--json").json["output"] == 10


# --- stats ---------------------------------------------------------------------------------------------------------


def test_stats_counts_the_runs_of_each_definition(counted: Any, project: Any) -> None:
    project.write("loops/other.yaml", "loop: other\nsteps:\n  - fail: no\n")
    counted("run", "count", "-i", "fail=true")
    counted("run", "other")
    count, other = counted("stats", "--json").json
    assert (count["loop"], count["runs"], count["succeeded"], count["failed"]) == ("count", 3, 2, 1)
    assert count["success_rate"] == pytest.approx(2 / 3)
    assert 0 <= count["p50_ms"] <= count["p95_ms"]
    assert (count["tokens"], count["usd"], count["saved"]) == (0, None, {"tokens": 0, "usd": None})
    assert (other["loop"], other["success_rate"]) == ("other", 0.0)
    assert [row["loop"] for row in counted("stats", "other", "--json").json] == ["other"]
    assert "67%" in counted("stats").out


def test_stats_of_no_runs_and_of_no_loop(counted: Any) -> None:
    assert counted("stats", "--since", "2100-01-01", "--json").json == []
    assert counted("stats", "count", "--since", "2100-01-01", "--json").json == []
    wrong = counted("stats", "cuont")
    assert (wrong.code, "did you mean 'count'?" in wrong.err) == (4, True)


# --- feedback ------------------------------------------------------------------------------------------------------


REVIEW = """
loop: review
steps:
  - id: runs
    history: {of: count, since: 7d, status: [succeeded], limit: 10}
output:
  verdicts: ${{ steps.runs.output | map(attribute='feedback') | list }}
  outputs: ${{ steps.runs.output | map(attribute='output') | list }}
"""


REVIEW_FAILED = """
loop: review
steps: [{id: runs, history: {of: count, status: [failed]}}]
output: ${{ steps.runs.output | map(attribute='run_id') | list }}
"""


def test_feedback_is_shown_with_the_run_and_read_by_loops_that_review_it(counted: Any, project: Any) -> None:
    first, _ = reversed(counted("history", "--json").json)
    given = counted("feedback", first["run_id"], "false-positive", "--note", "the disk was fine", "--json")
    assert given.json == {"run_id": first["run_id"], "status": "succeeded"}
    [shown] = counted("show", first["run_id"], "--json").json["run"]["feedback"]
    assert [row["feedback"] for row in counted("history", "--json").json] == [[], [shown]]
    assert (shown["verdict"], shown["note"], shown["by"]) == ("false-positive", "the disk was fine", login_name())
    assert f"false-positive by {login_name()}: the disk was fine" in counted("show", first["run_id"]).out

    project.write("loops/review.yaml", REVIEW)
    reviewed = counted("run", "review", "--json").json["output"]
    assert reviewed == {"verdicts": [[], [shown]], "outputs": [2, 1]}


def test_the_runs_of_the_history_action_are_those_of_the_history_command(counted: Any, project: Any) -> None:
    project.write("loops/review.yaml", "loop: review\nsteps:\n  - history: {of: count}\n")
    rows = counted("run", "review", "--json").json["output"]
    listed = counted("history", "--loop", "count", "--json").json
    assert [row.pop("stalled_since") for row in listed] == [None, None]  # for people, who can do something about it
    assert [{key: row[key] for key in row if key != "output"} for row in rows] == listed


def test_a_resumed_run_is_failed_to_the_history_action_when_it_fails_again_and_not_while_it_waits(
    project: Any, agentctl: Any
) -> None:
    project.write("loops/count.yaml", "loop: count\nsteps: [{shell: test -e flag}, {wait: {event: go}}, {fail: no}]\n")
    project.write("loops/review.yaml", REVIEW_FAILED)
    run_id = agentctl("run", "count", "--json").json["run_id"]
    assert agentctl("run", "review", "--json").json["output"] == [run_id]

    (project.root / "flag").touch()
    assert agentctl("resume", run_id, "--no-wait", "--json").json["status"] == "waiting"
    assert agentctl("run", "review", "--json").json["output"] == []

    agentctl("send", "go")
    assert agentctl("resume", run_id, "--json").json["status"] == "failed"
    assert agentctl("run", "review", "--json").json["output"] == [run_id]


def test_feedback_takes_three_words_and_a_run(counted: Any) -> None:
    wrong = counted("feedback", "last", "goood")
    assert (wrong.code, "did you mean 'good'?" in wrong.err) == (2, True)
    assert counted("feedback", "nothing", "good").code == 4


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ("{of: count, status: ['${{ input.x }}']}", "`status` of history"),
        ("{of: count, since: '${{ input.x }}'}", "`since` of history"),
    ],
)
def test_a_history_step_that_asks_for_nonsense_fails(counted: Any, project: Any, history: str, said: str) -> None:
    project.write("loops/review.yaml", f"loop: review\ninput: {{x: {{default: soon}}}}\nsteps:\n  - history: {history}\n")
    error = counted("run", "review", "--json").json["error"]
    assert error["type"] == "input.invalid"
    assert said in error["message"]


# --- what is not there yet -----------------------------------------------------------------------------------------


LATER = """
loop: later
steps:
  - shell: touch ran
  - publish: {definition: x}
"""


def test_a_definition_with_an_action_that_is_not_there_yet_is_refused_before_anything_runs(project: Any, agentctl: Any) -> None:
    project.write("loops/later.yaml", LATER)
    result = agentctl("run", "later")
    assert result.code == 2
    assert "loops/later.yaml:4:5: error[not-supported]: this version of agentctl cannot run 'publish' steps" in result.err
    assert not (project.root / "ran").exists()
    assert agentctl("history", "--json").json == []


def test_validate_warns_of_it_and_takes_the_file_as_correct(project: Any, agentctl: Any) -> None:
    project.write("loops/later.yaml", LATER)
    result = agentctl("validate", "loops/later.yaml", "--json")
    assert result.code == 0
    assert [(problem["severity"], problem["code"], problem["line"]) for problem in result.json] == [
        ("warning", "not-supported", 4)
    ]


def test_a_skill_with_such_an_action_fails_the_step_that_calls_it_and_runs_nothing(project: Any, agentctl: Any) -> None:
    project.write("skills/later.yaml", LATER.replace("loop:", "skill:"))
    project.write("loops/caller.yaml", "loop: caller\nsteps:\n  - skill: later\n")
    error = agentctl("run", "caller", "--json").json["error"]
    assert "cannot run 'publish' steps" in error["message"]
    assert not (project.root / "ran").exists()
