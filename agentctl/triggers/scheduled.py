"""The run that a slot of a schedule starts."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from agentctl import JSON
from agentctl.core.flow import Place, group
from agentctl.errors import InputInvalid
from agentctl.ports import Slot, StoredDefinition
from agentctl.triggers.policies import Verdict
from agentctl.triggers.schedule import Overlap, Schedule
from agentctl.triggers.starts import new_run


def slot_of(
    stored: StoredDefinition,
    schedule: Schedule,
    verdict: Verdict,
    *,
    at: float,
    vars: Mapping[str, JSON],
    trigger: str | None = None,
    overlap: Overlap | None = None,
) -> Slot:
    """What is to be recorded of a slot, with the run that it starts if it fires. `at`: the present.

    `trigger` and `overlap`: instead of the schedule's.  A slot of a definition that needs an input without a default is skipped:
    a schedule brings none.
    """
    slot = Slot(name=schedule.name, schedule=schedule.key, slot=verdict.slot, outcome=verdict.outcome, reason=verdict.reason)
    if verdict.outcome != "fired":
        return slot
    from agentctl.language.inputs import check_inputs

    try:
        given = check_inputs(stored.definition, {})
    except InputInvalid as error:
        return replace(slot, outcome="skipped", reason=f"{error}, and a schedule brings none")
    place = Place(group(schedule.name, "overlap", schedule.key), 1, overlap or schedule.overlap, overlap=True)
    run = new_run(
        stored, given, at=at, trigger=trigger or schedule.kind, scheduled_at=verdict.slot, vars=dict(vars), places=(place,)
    )
    return replace(slot, run=run)
