"""What `approve` and `reject` share: which approval is meant, who signs, and recording the signature."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import complete, context, output, queries
from agentctl.errors import NotFound, PermissionDenied, UsageError
from agentctl.expressions.suggestions import did_you_mean
from agentctl.paths import parse_path
from agentctl.ports import FINISHED, Events

if TYPE_CHECKING:
    from agentctl.core.events import ApprovalGiven
    from agentctl.language.project.project import Project
    from agentctl.ports import RunRow, Waiting

Step = Annotated[
    str | None,
    typer.Argument(metavar="STEP", help="The step, by path or id; needed when several ask.", autocompletion=complete.questions),
]
Comment = Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="A comment, kept in the journal.")]
Data = Annotated[list[str] | None, typer.Option("--data", metavar="K=V", help="A field of the form; repeatable.")]

_INSIDE = "AGENTCTL_RUN_ID"  # set in the environment of every step


def sign(run: str, step: str | None, comment: str | None, data: list[str], db: str | None, *, approved: bool, json: bool) -> None:
    """Answer the approval that `run` (and `step`) names, as the login user.

    Raises PermissionDenied inside a step, UsageError (ambiguous, nothing asked, a wrong form, changed meanwhile), NotFound.
    """
    from agentctl.language.forms import read_form
    from agentctl.views.runs import status_document

    refuse_inside_a_step("only a person approves")
    project = context.project(db)
    with context.recorded(db, run) as (store, row):
        waiting = _meant(store, row, step)
    values = read_form(waiting.subject["form"], data, complete=approved)
    _show(waiting, approved=approved, ask=not json)
    answer = signature(waiting, values, comment, approved=approved)
    import asyncio

    row, driver, served = asyncio.run(_hand_in(project, row.id, answer))
    if json:
        output.print_json(status_document(row))
    word = "approved" if approved else "rejected"
    output.note(f"{word} as {answer.by}: step {waiting.path} of run {row.id}")
    if served:
        output.note("agentctl serve is driving it")
    elif driver.status != "running" and driver.status not in FINISHED:
        hint = context.Hints(driver.id, project, db).drive
        output.note(f"no process is driving the run ({driver.status}); continue it with: {hint}")


def _meant(store: Events, row: RunRow, step: str | None) -> Waiting:
    """Return the one open approval of the run, or the one that STEP names by path or id."""
    asking = [waiting for waiting in store.waits(row.id) if waiting.kind == "approval"]
    if step is not None:
        named = [w for w in asking if w.path == step] or [w for w in asking if parse_path(w.path)[-1].id == step]
        if not named:
            hint = did_you_mean(step, [w.path for w in asking])
            raise NotFound(f"run {row.id} does not wait for an approval at step {step!r}{hint}")
        asking = named
    asking = [waiting for waiting in asking if waiting.answered is None] or asking[:1]
    if not asking:
        raise UsageError(f"run {row.id} ({row.status}) waits for no approval; `agentctl inbox` lists what does")
    if len(asking) > 1:
        paths = ", ".join(shlex.quote(waiting.path) for waiting in asking)
        raise UsageError(f"run {row.id} waits for several approvals; name the step: {paths}")
    if asking[0].answered is not None:
        where = f"step {asking[0].path} of run {row.id}"
        raise UsageError(f"the approval at {where} was answered already; the answer counts when the run continues")
    return asking[0]


def _show(waiting: Waiting, *, approved: bool, ask: bool) -> None:
    """Print what is signed; on a terminal, ask for confirmation of an approval. Raises UsageError when it is not given."""
    from agentctl.render.waits import asked

    for line in asked(waiting):
        output.note(f"    {line}".rstrip())
    if approved and ask and sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("approve this? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("nothing was signed")


async def _hand_in(project: Project, run_id: str, answer: ApprovalGiven) -> tuple[RunRow, RunRow, bool]:
    """The run, the one that drives it, and whether `serve` lives.

    Raises UsageError when the approval is not the one that was shown any more.
    """
    with context.requesting(project) as (client, store):
        if not await client.approve(run_id, answer):
            raise UsageError(
                f"step {answer.path} of run {run_id} was answered meanwhile, or shows something else now: nothing was signed"
            )
        return queries.row_of(store, run_id), queries.driver(store, run_id), store.serving() is not None


def signature(waiting: Waiting, data: dict[str, Any], comment: str | None, *, approved: bool) -> ApprovalGiven:
    """Return the login user's answer, as of now, bound to what was shown. `data`: the fields of the form."""
    from agentctl.core.events import ApprovalGiven

    return ApprovalGiven(
        at=time.time(),
        path=waiting.path,
        approved=approved,
        digest=waiting.digest,
        by=login_name(),
        comment=comment,
        data=data,
    )


def login_name() -> str:
    """Return the user that the kernel runs this process as. The environment can be forged and is not asked."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def refuse_inside_a_step(why: str) -> None:
    """Raises PermissionDenied in a process that a step started."""
    if inside_a_step():
        raise PermissionDenied(f"this is a step of a run, and steps sign nothing: {why}")


def inside_a_step() -> bool:
    """Return true in a process below a step: its own or an ancestor's environment says so."""
    if _INSIDE in os.environ:
        return True
    mark = f"{_INSIDE}=".encode()
    pid = os.getppid()
    while pid > 1:
        try:
            if any(entry.startswith(mark) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                return True
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False  # another user's process, or no /proc
    return False
