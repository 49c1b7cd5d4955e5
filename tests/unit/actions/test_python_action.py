from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.actions.python import PythonAction
from agentctl.errors import ActionError
from agentctl.performing.keeping import kept, once
from agentctl.ports import Call

Make = Callable[..., Call]

MODULE = """
import asyncio, os, sys
from pathlib import Path

def add(a, b=1): print("adding"); print("aside", file=sys.stderr); return a + b
async def later(): await asyncio.sleep(0); return {"ok": True}
def broken(): raise LookupError("nothing there")
def leave(): sys.exit(3)
def die(): os.kill(os.getpid(), 9)
def where(): return os.getcwd()
def bad(): return {1, 2}
def nan(): return float("nan")
def large(): return ["x" * 100] * 20000
def forked():
    child = os.fork()
    if child == 0: return "child"
    os.waitpid(child, 0)
    return "parent"
def gone(): os._exit(0)
def hang():
    Path("pid").write_text(f"{os.getpid()}\\n")
    asyncio.run(asyncio.sleep(60))
class Tools:
    @staticmethod
    def double(n): return 2 * n
"""


@pytest.fixture
def around(make_around: Callable[..., Any]) -> Any:
    made = make_around()
    (made.root / "work").mkdir()
    (made.root / "work" / "tasks.py").write_text(MODULE)
    return made


def run(call: Call, around: Any) -> Any:
    async def performed() -> Any:
        return await kept(await PythonAction().perform(call, around), around, once)

    return asyncio.run(performed())


def failure(call: Call, around: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        run(call, around)
    return caught.value


def test_a_function_of_the_project_gets_keyword_arguments_and_gives_json(call: Make, around: Any) -> None:
    assert run(call(function="work.tasks:add", **{"with": {"a": 2, "b": 3}}), around) == 5
    assert run(call(function="work.tasks:Tools.double", **{"with": {"n": 4}}), around) == 8
    assert run(call(function="work.tasks:where"), around) == str(around.root.resolve())


def test_what_a_function_prints_goes_to_the_log(call: Make, around: Any) -> None:
    run(call(function="work.tasks:add", **{"with": {"a": 2}}), around)
    assert around.logged("stdout") == ["adding"]
    assert around.logged("stderr") == ["aside"]


def test_a_coroutine_function_is_awaited(call: Make, around: Any) -> None:
    assert run(call(function="work.tasks:later"), around) == {"ok": True}


def test_an_exception_comes_with_the_frames_of_the_users_code_alone(call: Make, around: Any) -> None:
    error = failure(call(function="work.tasks:broken"), around)
    assert (error.type, error.message) == ("python.exception", "LookupError: nothing there")
    assert error.data is not None
    assert 'tasks.py", line 7, in broken' in error.data["exception"]
    assert error.data["exception"].endswith("LookupError: nothing there")
    assert "call_function" not in error.data["exception"]


@pytest.mark.parametrize(
    ("function", "said"),
    [("work.missing:add", "ModuleNotFoundError"), ("work.tasks:missing", "AttributeError"), ("work.tasks:leave", "SystemExit")],
)
def test_what_cannot_be_found_or_leaves_is_an_exception_too(call: Make, around: Any, function: str, said: str) -> None:
    error = failure(call(function=function), around)
    assert (error.type, error.message.partition(":")[0]) == ("python.exception", said)


def test_a_module_named_like_one_of_ours_is_the_users(call: Make, around: Any) -> None:
    (around.root / "shell.py").write_text("def f(): return 'mine'")
    assert run(call(function="shell:f"), around) == "mine"


@pytest.mark.parametrize("function", ["work.tasks:bad", "work.tasks:nan"])
def test_a_result_that_is_no_json_is_invalid(call: Make, around: Any, function: str) -> None:
    assert failure(call(function=function), around).type == "output.invalid"


def test_a_function_named_otherwise_than_module_colon_function_is_refused(call: Make, around: Any) -> None:
    assert failure(call(function="work.tasks.add"), around).type == "input.invalid"


def test_a_process_that_dies_says_by_which_signal(call: Make, around: Any) -> None:
    error = failure(call(function="work.tasks:die"), around)
    assert error.type == "shell.signal"
    assert error.data is not None
    assert error.data["signal"] == "SIGKILL"


def test_a_large_result_becomes_a_file(call: Make, around: Any) -> None:
    assert run(call(function="work.tasks:large"), around)["bytes"] > 2_000_000


def test_a_cancelled_function_is_dead(
    call: Make, around: Any, written: Callable[[Path], str], dead: Callable[[int], bool]
) -> None:
    async def cancelled() -> str:
        task = asyncio.create_task(PythonAction().perform(call(function="work.tasks:hang"), around))
        text = await asyncio.to_thread(written, around.root / "pid")
        task.cancel()
        await asyncio.wait([task])
        return text

    assert all(dead(int(pid)) for pid in re.findall(r"\d+", asyncio.run(cancelled())))


def test_a_fork_that_comes_back_from_the_function_does_not_answer_for_it(call: Make, around: Any) -> None:
    assert run(call(function="work.tasks:forked"), around) == "parent"


def test_a_function_that_ends_its_process_without_an_answer_has_failed(call: Make, around: Any) -> None:
    error = failure(call(function="work.tasks:gone"), around)
    assert (error.type, error.data["exit_code"]) == ("shell.exit", 0)
    assert "before it returned" in error.message
