"""What happens when outputs are endless, when there is no room for them, and when a process cannot be started."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions import output, process
from agentctl.actions.python import PythonAction
from agentctl.actions.shell import ShellAction
from agentctl.errors import ActionError, StoreFull
from agentctl.performing.keeping import kept, once
from agentctl.ports import Call, LargeOutput, Outcome

Make = Callable[..., Call]


def run(call: Call, around: Any, action: Any = None) -> Any:
    async def performed() -> Any:
        return await kept(await (action or ShellAction()).perform(call, around), around, once)

    return asyncio.run(performed())


def failure(call: Call, around: Any, action: Any = None) -> ActionError:
    with pytest.raises(ActionError) as caught:
        run(call, around, action)
    return caught.value


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_endless_output_ends_at_its_limit_and_leaves_the_outcome_unknown(call: Make, around: Any) -> None:
    error = failure(call(run="yes", max_output="2MiB"), around)
    assert (error.type, error.outcome) == ("shell.too_large", "unknown")


def test_an_output_that_the_disk_does_not_take_stays_in_memory(call: Make, around: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "nameless_file", full)
    reference = run(call(run="yes line | head -c 5000000"), around)
    assert Path(reference["file"]).read_bytes() == b"line\n" * 1_000_000


def test_outputs_and_logs_leave_the_store_room_on_the_disk(call: Make, around: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "RESERVE", 1 << 62)
    reference = run(call(run="echo first; yes line | head -c 5000000"), around)
    assert Path(reference["file"]).stat().st_size == 5_000_006
    assert around.logged("stdout") == []


def test_an_output_that_neither_disk_nor_memory_takes_leaves_the_outcome_unknown(
    call: Make, around: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "nameless_file", full)
    monkeypatch.setattr(output, "IN_MEMORY", 2_000_000)
    error = failure(call(run="yes line | head -c 5000000"), around)
    assert (error.type, error.outcome) == ("output.invalid", "unknown")
    assert "No space left" in error.message


def test_an_output_is_kept_as_soon_as_the_store_takes_it() -> None:
    tries: list[LargeOutput] = []

    class Around:
        def keep(self, large: LargeOutput) -> dict[str, Any]:
            tries.append(large)
            if len(tries) < 3:
                raise StoreFull("no room")
            return {"bytes": len(large.rest)}

    async def insist(write: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await write()
            except StoreFull:
                await asyncio.sleep(0)

    found = asyncio.run(kept(Outcome(LargeOutput(None, b"abc", "text")), Around(), insist))  # type: ignore[arg-type]  # as much as is asked
    assert found == {"bytes": 3}
    assert len(tries) == 3


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM, errno.EIO])
def test_a_process_that_the_system_has_no_room_for_is_not_begun(
    call: Make, around: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, "not now")

    monkeypatch.setattr(process.subprocess, "Popen", refuse)
    for action, params in ((ShellAction(), {"run": "true"}), (PythonAction(), {"function": "work:f"})):
        error = failure(call(**params), around, action)
        assert (error.type, error.outcome) == ("shell.not_started", "not_begun")


def test_what_cannot_be_started_is_not_begun(call: Make, around: Any) -> None:
    for params in ({"argv": ["no-such-program"]}, {"run": "true", "cwd": "nowhere"}, {"argv": ["a\0b"]}):
        assert failure(call(**params), around).outcome == "not_begun"


def test_a_background_child_that_goes_on_writing_does_not_keep_its_step(
    call: Make, around: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DRAIN_LIMIT", 0.5)
    began = time.monotonic()
    text = run(call(run="(while sleep 0.05; do echo tick; done) & echo done"), around)
    assert text.startswith("done")
    assert time.monotonic() - began < 5


def test_large_yaml_is_read_in_a_process_that_a_timeout_ends(call: Make, around: Any) -> None:
    entry = "- {name: alpha, list: [1, 2, 3], text: some words here}\n"
    (around.root / "data.yaml").write_text(entry * 20_000)

    async def timed() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await ShellAction().perform(call(run="cat data.yaml", parse="yaml"), around)
        return time.monotonic() - began

    assert asyncio.run(timed()) < 4
    (around.root / "data.yaml").write_text(entry * 1_000)
    assert len(run(call(run="cat data.yaml", parse="yaml"), around)) == 1_000


def test_large_json_is_parsed_and_what_is_no_json_is_invalid(call: Make, around: Any) -> None:
    reference = run(call(run="printf '['; seq -s , 1 300000 | tr -d '\\n'; printf ']'", parse="json"), around)
    assert reference["kind"] == "json"
    assert failure(call(run="yes line | head -c 2000000", parse="json"), around).type == "output.invalid"


def test_a_log_that_is_a_pipe_or_a_link_is_not_written_to(call: Make, around: Any, tmp_path: Path) -> None:
    log = around.store / "logs" / "run.jsonl"
    log.parent.mkdir()
    os.mkfifo(log)
    assert run(call(run="echo out"), around) == "out"
    log.unlink()
    log.symlink_to(tmp_path / "elsewhere")
    assert run(call(run="echo out"), around) == "out"
    assert not (tmp_path / "elsewhere").exists()
