"""One decision in progress: the state that it changes, the events that it has made so far, the commands that they call for."""

from __future__ import annotations

from collections.abc import Callable

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.scope import Scope, scope_at
from agentctl.core.state import Frame, RunState, StepState
from agentctl.errors import ExpressionError
from agentctl.expressions.large import loaded
from agentctl.expressions.template import Template
from agentctl.expressions.values import SECRET_MISUSE, SecretText


class Transition:
    """Knows no rules: the kinds, `steps`, `blocks` and `ending` decide, and report each decision to `emit`.

    `at`: when the decision is made, in epoch seconds.
    `fold`: folds an event into a state and returns the commands that it calls for.
    """

    __slots__ = ("_fold", "at", "commands", "events", "state")

    def __init__(self, state: RunState, at: float, fold: Callable[[RunState, ev.AnyEvent], list[cmd.Command]]) -> None:
        self.state = state
        self.at = at
        self.events: list[ev.AnyEvent] = []
        self.commands: list[cmd.Command] = []
        self._fold = fold

    def emit(self, event: ev.AnyEvent) -> None:
        """Fold an event in, keep it for the journal, and add the commands that it calls for."""
        self.commands += self._fold(self.state, event)
        self.events.append(event)

    def holds_back(self, item: Frame | StepState) -> bool:
        """Whether `item` may start nothing now. What waits only until all that was due is decided is looked at again then.

        It is not journaled: the next owner of the run finds the item ready again.
        """
        state = self.state
        if state.on_hold:
            state.held_back = True
        elif state.is_catching_up:
            state.postponed.append(item)
        return state.on_hold or state.is_catching_up

    def evaluate(
        self,
        template: Template,
        place: Frame | StepState,
        names: dict[str, JSON] | None = None,
        *,
        keeps_references: bool = False,
    ) -> tuple[JSON, ev.Error | None]:
        """Return the value of a template in a list or for a step, or the error object of an expression that failed.

        `keeps_references`: large values that are handed on stay references (see `expressions.large`).
        """
        scope = scope_at(self.state, place)
        if names:
            scope = Scope(self.state, {**scope, **names})
        try:
            value = template.evaluate(scope)
            return value if keeps_references else loaded(value), None
        except ExpressionError as error:
            return None, _failed(template, error.message)

    def holds(
        self, condition: Template, place: Frame | StepState, names: dict[str, JSON] | None = None
    ) -> tuple[bool, ev.Error | None]:
        """Return whether a condition is true; false with an error object when it has no truth value, like a secret."""
        value, error = self.evaluate(condition, place, names, keeps_references=True)
        if isinstance(value, SecretText):
            return False, _failed(condition, SECRET_MISUSE)
        return bool(value), error


def _failed(template: Template, message: str) -> ev.Error:
    source = template.source
    written = source if "${{" in source else f"${{{{ {source} }}}}"  # `if` and its like also come bare
    return ev.Error("expression", f"{message} in {written}" if source else message)
