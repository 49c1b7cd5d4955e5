"""Ask for approvals on the terminal while `run` or `resume` drives: yes or no, a comment, the fields of the form.

The answer takes the way of every other: through the store, bound to what was shown. What is typed is read by the event loop
itself, so that timers, other branches and an answer from elsewhere continue meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from agentctl.cli import output
from agentctl.cli.approvals import inside_a_step, signature
from agentctl.cli.foreground.watch import Watch
from agentctl.errors import InputInvalid
from agentctl.ports import Waiting
from agentctl.render.waits import asked, commands, headline

if TYPE_CHECKING:
    from agentctl.engine.engine import Engine

_STDIN = 0


def can_ask() -> bool:
    """Return whether a person can answer: stdin and stderr are a terminal, and this is not a step of a run."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not inside_a_step()


class Asker:
    """Ask one question after the other. `where`: see `render.waits.commands`."""

    def __init__(self, engine: Engine, watch: Watch, where: str) -> None:
        self._engine = engine
        self._watch = watch
        self._where = where
        self._todo: deque[Waiting] = deque()
        self._news = asyncio.Event()
        self._open: tuple[Waiting, asyncio.Task[None]] | None = None
        self._keyboard = Keyboard()

    @asynccontextmanager
    async def attending(self) -> AsyncIterator[None]:
        """Ask for the approvals that come up."""
        self._watch.asker = self
        task = asyncio.create_task(self._attend())
        try:
            yield
        finally:
            self._watch.asker = None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def ask(self, waiting: Waiting) -> None:
        """Queue a question."""
        self._todo.append(waiting)
        self._news.set()

    def look(self, run_id: str) -> None:
        """Withdraw the open question if the run does not need its answer any more."""
        if self._open is not None and self._open[0].run_id == run_id and not self._is_wanted(self._open[0]):
            waiting, question = self._open
            self._open = None
            question.cancel()
            output.note(f"\nstep {waiting.path} waits for this answer no more")

    def _is_wanted(self, waiting: Waiting) -> bool:
        now = {found.path: found for found in self._engine.store.waits(waiting.run_id)}.get(waiting.path)
        return now is not None and now.digest == waiting.digest and now.answered is None

    async def _attend(self) -> None:
        while True:
            while not self._todo:
                self._news.clear()
                await self._news.wait()
            waiting = self._todo.popleft()
            if not self._is_wanted(waiting):
                continue
            question = asyncio.create_task(self._question(waiting))
            self._open = (waiting, question)
            with self._watch.paused():
                try:
                    await asyncio.wait([question])
                finally:
                    question.cancel()
                    self._open = None
                if not question.cancelled():
                    question.result()

    async def _question(self, waiting: Waiting) -> None:
        output.note(f"run {waiting.run_id}, step {waiting.path}: {headline(waiting)}")
        for line in asked(waiting):
            output.note(f"    {line}".rstrip())
        try:
            approved = await self._yes_or_no()
            comment = (await self._keyboard.line("comment (none): ")).strip() or None
            values = await self._form(waiting.subject["form"]) if approved else {}
        except EOFError:
            output.note("\nnot answered; later on: " + commands(waiting, self._where)["approve"])
            return
        answer = signature(waiting, values, comment, approved=approved)
        self._open = None  # our own answer does not withdraw the question
        if not await self._engine.approve(waiting.run_id, answer):
            output.note("it was answered meanwhile, or shows something else now: nothing was signed")

    async def _yes_or_no(self) -> bool:
        while True:
            answer = (await self._keyboard.line("approve this? [y/n] ")).strip().lower()
            if answer in ("y", "yes", "n", "no"):
                return answer.startswith("y")

    async def _form(self, form: dict[str, Any]) -> dict[str, Any]:
        from agentctl.language.forms import read_field
        from agentctl.language.inputs import expected, has_default
        from agentctl.render.text import unambiguous, visible
        from agentctl.render.waits import default_text

        values = {}
        for name, schema in form.items():
            default = f", default {default_text(schema)}" if has_default(schema) else ""
            while name not in values:
                text = await self._keyboard.line(f"{unambiguous(name)} ({unambiguous(expected(schema))}{default}): ")
                if not text and default:
                    values[name] = schema["default"]
                    continue
                try:
                    values[name] = read_field(name, text, schema)
                except InputInvalid as error:
                    output.note(visible(str(error), lines=True))
        return values


class Keyboard:
    """Read typed lines without a thread: a thread in `readline` could not be stopped."""

    def __init__(self) -> None:
        self._typed = b""

    async def line(self, prompt: str) -> str:
        """Return the next line, without its end. Raises EOFError at Ctrl-D."""
        sys.stderr.write(prompt)
        sys.stderr.flush()
        loop = asyncio.get_running_loop()
        while b"\n" not in self._typed:
            ready = asyncio.Event()
            loop.add_reader(_STDIN, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(_STDIN)
            data = os.read(_STDIN, 4096)
            if not data:
                raise EOFError
            self._typed += data
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode(errors="replace")
