"""`agentctl doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.cli import context, output, params
from agentctl.cli.output import FAILED
from agentctl.errors import DefinitionInvalid
from agentctl.ports import Finding
from agentctl.render.text import size


def command(db: params.Db = None, json: params.Json = False) -> int:
    """Check installation, store, definitions, secrets and models, and print how to fix each finding.

    The exit code is 1 if there is an error; warnings alone do not count as failure.
    """
    findings = list(_findings(db))
    from agentctl.render import doctor
    from agentctl.views.checks import finding_document

    if json:
        output.print_json([finding_document(finding) for finding in findings])
    else:
        from agentctl.render.timeline import coloured, plain

        output.show(
            lambda: plain(doctor.finding_lines(findings)),
            lambda screen: coloured(doctor.finding_lines(findings, width=screen.width), fold=True),
        )
        counts = {status: sum(finding.status == status for finding in findings) for status in ("error", "warning")}
        output.note(", ".join(size(count, status) for status, count in counts.items() if count) or "all is well")
    return FAILED if any(finding.status == "error" for finding in findings) else 0


def _findings(db: str | None) -> Iterator[Finding]:
    from agentctl.cli.doctor import definitions, environment, runs
    from agentctl.wiring import examine_models, examine_store

    yield from environment.examine()
    try:
        project = context.project(db)
    except DefinitionInvalid as error:  # without it neither the store nor the models can be found
        yield from (Finding("project", "error", str(problem), "fix that line of agentctl.yaml") for problem in error.problems)
        return
    yield definitions.examine_root(project)
    yield from examine_store(project.store_path)
    files = definitions.files(project.root)
    yield from definitions.examine_files(project, files)
    yield from runs.examine(project)
    valid = definitions.valid(files)
    yield from definitions.examine_secrets(project, valid)
    yield from examine_models(project, needed=any(map(definitions.calls_a_model, valid.values())))
