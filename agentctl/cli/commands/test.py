"""`agentctl test`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params, queries
from agentctl.cli.output import FAILED, INVALID
from agentctl.errors import NotFound, UsageError
from agentctl.language.cases import SUFFIX
from agentctl.language.project.project import TEST_SUFFIXES

if TYPE_CHECKING:
    from agentctl.testing.suite import Invalid, Verdict


EXAMPLES = (
    "agentctl test",
    "agentctl test tests/hello.test.yaml --crash-everywhere",
)


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Test files, or folders that hold them. Default: tests/.")
    ] = None,
    record: Annotated[
        str | None, typer.Option("--record", metavar="RUN", help="Write a test file from a recorded run (to PATH) and run it.")
    ] = None,
    crash_everywhere: Annotated[
        bool, typer.Option("--crash-everywhere", help="Also run each case with a crash around every event; all must end alike.")
    ] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> int:
    """Run the test cases of loops and skills, in virtual time, with steps mocked.

    A test file is named *.test.yaml. Exit code 0: all passed; 1: a case failed; 2: a test file is invalid.
    """
    if record is not None:
        if len(paths or []) > 1:
            raise UsageError("--record writes one file; give one PATH at most")
        target = _record(record, paths[0] if paths else None, db)
        output.note(f"wrote {target}")
        paths = [str(target)]
    files = _files(paths)
    started = time.monotonic()
    verdicts, invalid = _play(files, crash=crash_everywhere, quiet=json)
    seconds = time.monotonic() - started
    if json:
        _print_document(verdicts, invalid)
    else:
        _print_failures(verdicts, invalid, seconds)
    if invalid:
        return INVALID
    return FAILED if any(verdict.failures for verdict in verdicts) else 0


def _record(run: str, path: str | None, db: str | None) -> Path:
    """Write a recorded run as a test file, by default into the project's tests/. Raises UsageError when the file exists."""
    from agentctl.language.catalog import Catalog
    from agentctl.testing.record import recorded, written

    if path is not None and not path.endswith(TEST_SUFFIXES):
        raise UsageError(f"a test file is named *{SUFFIX}, and {path} is not")
    project = context.project(db)
    with context.recorded(db, run) as (store, row):
        events = list(store.journal(row.id))
        state = queries.folded(store, events)
        stored = store.definition(row.version)
    is_between = any(step.status == "retrying" for step in state.steps.values())
    if state.status in ("queued", "running", "blocked") or is_between:
        raise UsageError(f"run {row.id} has not ended; its result cannot be expected yet")
    target = Path(path) if path is not None else project.root / "tests" / f"{row.name}-{row.id[:8]}{SUFFIX}"
    if target.exists():
        raise UsageError(f"{target} is there already; name another file as PATH")
    test = row.name
    try:
        Catalog(project).path(row.name)
    except NotFound:
        file = project.root / (stored.file if stored is not None else "")
        if not file.is_file():
            raise
        test = os.path.relpath(file, target.absolute().parent)
    document, cut = recorded(state, events, test, f"as run {row.id} went")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(written(document, cut), encoding="utf-8")
    return target


def _files(paths: list[str] | None) -> list[Path]:
    from agentctl.testing.prepare import files_at

    if paths:
        return list(dict.fromkeys(file for path in paths for file in files_at(Path(path))))
    root = context.project(None).root
    folder = root / "tests"
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}; `agentctl test PATH` names test files or folders that hold them")
    return files_at(folder)


def _play(files: list[Path], *, crash: bool, quiet: bool) -> tuple[list[Verdict], list[Invalid]]:
    """Run every case, and print each as it ends."""
    from agentctl.render.cases import case_line
    from agentctl.testing.suite import Verdict, run_files

    verdicts: list[Verdict] = []
    invalid: list[Invalid] = []
    for answer in run_files([(file, _shown(file)) for file in files], crash=crash):
        if isinstance(answer, Verdict):
            verdicts.append(answer)
            if not quiet:
                output.say(case_line(answer))
                output.flush()
        else:
            invalid.append(answer)
    return verdicts, invalid


def _shown(file: Path) -> str:
    """Return the path from the current folder, where editors look for it."""
    here = Path.cwd()
    return str(file.absolute().relative_to(here)) if file.absolute().is_relative_to(here) else str(file)


def _print_failures(verdicts: list[Verdict], invalid: list[Invalid], seconds: float) -> None:
    from agentctl.cli.output import problem_blocks
    from agentctl.render.cases import failure_block, totals

    for verdict in verdicts:
        if verdict.failures:
            output.say(f"\n{failure_block(verdict)}")
    for found in invalid:
        output.say(f"\n{problem_blocks(found.problems, {problem.file: found.path for problem in found.problems})}")
    output.note(totals(verdicts, len(invalid), seconds))


def _print_document(verdicts: list[Verdict], invalid: list[Invalid]) -> None:
    from agentctl.views.checks import case_document, problem_document

    failed = sum(bool(verdict.failures) for verdict in verdicts)
    output.print_json(
        {
            "passed": len(verdicts) - failed,
            "failed": failed,
            "cases": [case_document(verdict) for verdict in verdicts],
            "problems": [problem_document(problem) for found in invalid for problem in found.problems],
        }
    )
