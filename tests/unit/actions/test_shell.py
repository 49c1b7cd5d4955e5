from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions.shell import ShellAction
from agentctl.errors import ActionError
from agentctl.performing.keeping import kept, once
from agentctl.ports import Call

Make = Callable[..., Call]


def run(call: Call, around: Any) -> Any:
    async def performed() -> Any:
        return await kept(await ShellAction().perform(call, around), around, once)

    return asyncio.run(performed())


def failure(call: Call, around: Any) -> Any:
    with pytest.raises(ActionError) as caught:
        run(call, around)
    return caught.value


def test_a_script_gives_its_output_without_the_last_newline(call: Make, around: Any) -> None:
    assert run(call(run="echo one; echo two"), around) == "one\ntwo"


def test_a_script_runs_in_the_projects_root_or_where_cwd_says(call: Make, around: Any) -> None:
    (around.root / "inner").mkdir()
    assert run(call(run="pwd -P"), around) == str(around.root.resolve())
    assert run(call(run="pwd -P", cwd="inner"), around) == str((around.root / "inner").resolve())


def test_a_script_stops_at_its_first_error_and_at_unset_variables(call: Make, around: Any) -> None:
    assert failure(call(run="false; echo on"), around).type == "shell.exit"
    assert "MISSING" in failure(call(run='echo "$MISSING"'), around).message
    assert around.logged("stdout") == []


def test_bash_fails_when_a_part_of_a_pipe_does(call: Make, around: Any) -> None:
    assert failure(call(run="false | cat", interpreter="bash"), around).data == {"exit_code": 1, "stderr": ""}


def test_other_interpreters_take_scripts_too(call: Make, around: Any) -> None:
    assert run(call(run="print(6 * 7)", interpreter="python3"), around) == "42"
    assert run(call(run="a", interpreter="cat"), around) == "a"


def test_a_script_longer_than_an_argument_may_be_runs_all_the_same(call: Make, around: Any) -> None:
    script = "# " + "x" * 200_000 + "\necho done"
    assert run(call(run=script), around) == "done"
    assert failure(call(run="# " + "x" * 200_000 + "\nfalse\necho on"), around).data["exit_code"] == 1


def test_argv_elements_become_text_as_in_an_expression(call: Make, around: Any) -> None:
    argv = ["printf", "%s|", "a b", 1, 1.5, True, None, {"k": [1, 2]}, "$HOME"]
    assert run(call(argv=argv), around) == 'a b|1|1.5|true|null|{"k":[1,2]}|$HOME|'


def test_env_is_added_to_the_runners_and_null_takes_a_variable_away(
    call: Make, around: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "kept")
    monkeypatch.setenv("GONE", "gone")
    script = 'echo "$KEPT $NUMBER $LIST ${GONE-unset}"'
    assert run(call(run=script, env={"NUMBER": 7, "LIST": ["a"], "GONE": None}), around) == 'kept 7 ["a"] unset'


def test_a_step_does_not_inherit_the_token_of_serve_but_may_be_given_it(
    call: Make, around: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCTL_TOKEN", "opens-everything")
    script = 'echo "${AGENTCTL_TOKEN-unset}"'
    assert run(call(run=script), around) == "unset"
    assert run(call(run=script, env={"AGENTCTL_TOKEN": "given"}), around) == "given"


def test_a_process_knows_its_run_step_attempt_and_key(call: Make, around: Any) -> None:
    script = 'echo "$AGENTCTL_RUN_ID $AGENTCTL_STEP $AGENTCTL_ATTEMPT $AGENTCTL_IDEMPOTENCY_KEY"'
    assert run(call(run=script), around) == "run probe 1 run/probe"


def test_stdin_is_text_as_it_is_or_json_and_otherwise_empty(call: Make, around: Any) -> None:
    assert run(call(argv=["cat"], stdin="a\nb"), around) == "a\nb"
    assert run(call(argv=["cat"], stdin={"a": 1}), around) == '{"a":1}'
    assert run(call(argv=["cat"]), around) == ""


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        ("json", '{"a": [1, 2.5, "x"]}\n', {"a": [1, 2.5, "x"]}),
        ("json", '"\\ud800"', "\ufffd"),
        ("yaml", "a: 1\nday: 2026-11-23\n", {"a": 1, "day": "2026-11-23"}),
        ("lines", "a\n\nb\n", ["a", "", "b"]),
        ("lines", "", []),
        ("text", "a\0b\n\n", "a\0b\n"),
    ],
)
def test_output_is_parsed_as_told(call: Make, around: Any, parse: str, text: str, value: Any) -> None:
    assert run(call(argv=["cat"], stdin=text, parse=parse), around) == value


def test_bytes_that_are_not_utf8_are_replaced(call: Make, around: Any) -> None:
    assert run(call(run=r"printf 'a\377b'"), around) == "a\ufffdb"


@pytest.mark.parametrize(("parse", "text"), [("json", "no"), ("json", "NaN"), ("json", ""), ("yaml", "a: [1")])
def test_output_that_cannot_be_parsed_is_invalid(call: Make, around: Any, parse: str, text: str) -> None:
    assert failure(call(argv=["cat"], stdin=text, parse=parse), around).type == "output.invalid"


def test_a_failed_script_says_its_exit_code_and_its_last_words(call: Make, around: Any) -> None:
    error = failure(call(run="echo first >&2; echo no such host >&2; exit 3"), around)
    assert (error.type, error.data) == ("shell.exit", {"exit_code": 3, "stderr": "first\nno such host\n"})
    assert "no such host" in error.message


def test_exit_codes_can_be_declared_good(call: Make, around: Any) -> None:
    assert run(call(run="echo found; exit 1", ok_codes=[0, 1]), around) == "found"


def test_a_process_ended_by_a_signal_says_which(call: Make, around: Any) -> None:
    error = failure(call(run="kill -SEGV $$"), around)
    assert (error.type, error.data["signal"]) == ("shell.signal", "SIGSEGV")


def test_what_cannot_be_started_has_a_type_of_its_own(call: Make, around: Any) -> None:
    (around.root / "plain").write_text("echo")
    assert failure(call(argv=["no-such-program"]), around).type == "shell.not_found"
    assert failure(call(run="true", cwd="nowhere"), around).type == "shell.not_found"
    assert "nowhere" in failure(call(run="true", cwd="nowhere"), around).message
    assert failure(call(argv=["./plain"]), around).type == "permission.denied"
    assert failure(call(argv=["echo", "a\0b"]), around).type == "input.invalid"
    assert failure(call(argv=["echo", "x" * 200_000]), around).type == "input.invalid"
    assert failure(call(argv=[]), around).type == "input.invalid"
    assert failure(call(run="no-such-program"), around).data["exit_code"] == 127


def test_both_streams_go_to_the_log_by_whole_lines(call: Make, around: Any) -> None:
    run(call(run="echo out; echo err >&2; printf 'no end'"), around)
    assert around.logged("stdout") == ["out", "no end"]
    assert around.logged("stderr") == ["err"]
    assert around.records()[0].keys() == {"at", "path", "attempt", "stream", "text"}


def test_a_line_of_70_kb_is_read_and_logged_whole(call: Make, around: Any) -> None:
    output = run(call(run="head -c 70000 /dev/zero | tr '\\0' x"), around)
    assert output == "x" * 70_000
    assert "".join(around.logged("stdout")) == output


def test_output_over_a_mebibyte_becomes_a_file(call: Make, around: Any) -> None:
    output = run(call(run="yes line | head -c 5000000"), around)
    data = Path(output["file"]).read_bytes()
    assert data == (b"line\n" * 1_000_000)
    digest = hashlib.sha256(data).hexdigest()
    assert output == {"file": output["file"], "bytes": 5_000_000, "sha256": digest, "kind": "text"}


def test_memory_does_not_grow_with_the_output(call: Make, around: Any) -> None:
    run(call(run="true"), around)
    tracemalloc.start()
    try:
        output = run(call(run="yes line | head -c 20000000"), around)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert output["bytes"] == 20_000_000
    assert peak < 10_000_000  # a chunk of short lines makes a few MB of log records at a time


def test_a_secret_is_scrubbed_from_the_log_and_from_a_large_output(call: Make, make_around: Callable[..., Any]) -> None:
    around = make_around({"TOKEN": "s3cr3t-value"})
    around.secrets.read("TOKEN")
    # Written in two pieces, with a pause, so that the pipe tears it.
    output = run(call(run="printf s3cr3t; sleep 0.1; echo -value; yes x | head -c 2000000; echo s3cr3t-value"), around)
    text = Path(output["file"]).read_text()
    assert text.startswith("***\nx\n")
    assert text.endswith("x\n***\n")
    assert around.logged("stdout")[0] == "***"


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_step(call: Make, around: Any) -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = await ShellAction().perform(call(run="setsid sleep 30 & echo $!"), around)
        os.kill(int(outcome.output), 9)
        return loop.time() - started

    assert asyncio.run(timed()) < 5


async def cancelled_once_written(call: Call, around: Any, grace: float, file: Path, written: Callable[[Path], str]) -> str:
    """Perform, cancel as soon as `file` is written, and hand over what it says."""
    task = asyncio.create_task(ShellAction(grace).perform(call, around))
    text = await asyncio.to_thread(written, file)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return text


def test_a_cancelled_step_gets_term_first(call: Make, around: Any, written: Callable[[Path], str]) -> None:
    file = around.root / "ready"
    script = "trap 'echo stopped; exit 0' TERM; echo ready > ready; while :; do sleep 0.05; done"
    asyncio.run(cancelled_once_written(call(run=script), around, 10, file, written))
    assert around.logged("stdout") == ["stopped"]


def test_a_child_that_ignores_term_is_killed_with_its_setsid_grandchildren(
    call: Make, around: Any, written: Callable[[Path], str], dead: Callable[[int], bool]
) -> None:
    script = """
        trap '' TERM
        setsid sleep 60 & a=$!
        sleep 60 & b=$!
        (setsid sleep 60 & echo $! > orphan)
        echo $$ $a $b $(cat orphan) > pids
        wait; wait
    """
    text = asyncio.run(cancelled_once_written(call(run=script), around, 0.2, around.root / "pids", written))
    pids = [int(pid) for pid in re.findall(r"\d+", text)]
    assert len(pids) == 4
    assert all(dead(pid) for pid in pids)


def test_a_second_cancellation_cuts_the_grace_short(call: Make, around: Any, written: Callable[[Path], str]) -> None:
    async def twice() -> float:
        loop = asyncio.get_running_loop()
        script = "trap '' TERM; echo ready > ready; while :; do sleep 0.05; done"
        task = asyncio.create_task(ShellAction(60).perform(call(run=script), around))
        await asyncio.to_thread(written, around.root / "ready")
        started = loop.time()
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return loop.time() - started

    assert asyncio.run(twice()) < 5


def test_many_steps_run_at_once(call: Make, around: Any) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(ShellAction().perform(call(run=f"echo {number}"), around) for number in range(40)))

    assert [outcome.output for outcome in asyncio.run(many())] == [str(number) for number in range(40)]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases expand to more than"),
        ("a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 1000 + "]\n", "aliases expand to more than"),
        ("&a [*a]\n", "aliases expand to more than"),
        (
            "b: &b {" + ", ".join(f"k{n}: 1" for n in range(3000)) + "}\nl:\n" + "- <<: *b\n" * 1000,
            "aliases expand to more than",
        ),
        ("a: 1\n---\nb: 2\n", "another document in line 2"),
        ("[" * 3000, "nested too deeply"),
    ],
    ids=["aliases", "long text", "itself", "merge keys", "two documents", "depth"],
)
def test_yaml_that_would_fill_the_memory_or_is_no_document_is_invalid_output(
    call: Make, around: Any, text: str, said: str
) -> None:
    error = failure(call(argv=["cat"], stdin=text, parse="yaml"), around)
    assert error.type == "output.invalid"
    assert said in error.message


def test_what_an_error_shows_of_an_output_is_masked_before_it_is_cut(call: Make, make_around: Any) -> None:
    around = make_around({"KEY": "s3cret-value-0123"})
    around.secrets.read("KEY")
    for length in (190, 195, 199):
        error = failure(call(run=f"printf '%s' '{'x' * length}s3cret-value-0123'", parse="json"), around)
        assert error.type == "output.invalid"
        assert set(error.data["output"]) <= set("x*")
