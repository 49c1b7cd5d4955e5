"""What an error says of the effect of its attempt."""

from __future__ import annotations

import pytest

from agentctl.core import events as ev
from agentctl.errors import ErrorOutcome


@pytest.mark.parametrize(
    ("type", "outcome"), [("timeout", "unknown"), ("http.connect", "unknown"), ("shell.exit", "answered"), ("failed", "answered")]
)
def test_an_error_of_an_older_journal_has_the_outcome_that_is_usual_for_its_type(type: str, outcome: ErrorOutcome) -> None:
    assert ev.Error(type, "").known_outcome == outcome


def test_what_never_left_the_machine_was_not_begun() -> None:
    assert ev.Error("http.connect", "", data={"sent": False}).known_outcome == "not_begun"


def test_an_outcome_that_the_error_states_wins_over_its_type_and_is_journaled() -> None:
    event = ev.AttemptFailed(at=1.0, path="a", attempt=1, error=ev.Error("timeout", "", outcome="not_begun"))
    assert ev.decode(ev.encode(event)) == event
    assert not event.error.leaves_doubt
    assert ev.Error("http.status.503", "", outcome="unknown").leaves_doubt
    assert "outcome" not in event.error.to_json()
