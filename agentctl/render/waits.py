"""What runs wait for, as lines: an event, an approval, an unknown outcome; and the commands that answer.

What is to be signed is shown in full, whatever its length, with every character that cannot be seen written out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from agentctl import JSON
from agentctl.language.inputs import expected, has_default
from agentctl.ports import Waiting
from agentctl.render.text import clock, error_line, indented, symbol, unambiguous, visible
from agentctl.views.inbox import Unresolved


def signed_text(value: JSON) -> str:
    """Return text or JSON in full, with every character that cannot be seen written out."""
    return unambiguous(indented(value), lines=True)


def asked(waiting: Waiting) -> list[str]:
    """Return all that a person is shown: message, what is signed (behind bars, to set it apart from our text), form."""
    subject = waiting.subject
    if waiting.kind == "unknown":
        return [f"{subject['error']['type']}: {signed_text(subject['error']['message'])}"]
    lines = signed_text(subject["message"]).split("\n")
    if subject["show"] is not None:
        lines += [f"│ {line}" for line in signed_text(subject["show"]).split("\n")]
    for name, schema in subject["form"].items():
        words = [unambiguous(expected(schema))]
        if isinstance(schema, dict) and "description" in schema:
            words.append(unambiguous(str(schema["description"])))
        if has_default(schema):
            words.append(f"default {default_text(schema)}")
        lines.append(f"{unambiguous(name)}: {', '.join(words)}")
    return lines


def default_text(schema: dict[str, JSON]) -> str:
    """Return the default of a field for people: an empty text is shown as ""."""
    return signed_text(schema["default"]) or '""'


def headline(waiting: Waiting) -> str:
    """Return `waiting for event payment.received (until 2026-11-23 18:00:00)`."""
    until = "" if waiting.due is None else f" (until {clock(waiting.due)})"
    if waiting.kind == "event":
        return f"waiting for event {visible(waiting.name)}{until}"
    if waiting.kind == "approval":
        return f"waiting for approval{until}"
    return "of unknown outcome: a person has to look how it ended"


def commands(waiting: Waiting, where: str) -> dict[str, str]:
    """Return the commands by answer. `where`: options that lead to the store, with a leading blank."""
    if waiting.kind == "event":
        name = "EVENT" if "*" in waiting.name.split(".") else shlex.quote(waiting.name)
        return {"send": f"agentctl send {name} -d '{{...}}'{where}"}
    step = f"{waiting.run_id} {shlex.quote(waiting.path)}"
    if waiting.kind == "approval":
        fields = "".join(f" --data {shlex.quote(name)}=..." for name in _required(waiting.subject["form"]))
        return {"approve": f"agentctl approve {step}{fields}{where}", "reject": f"agentctl reject {step}{where}"}
    resolve = f"agentctl resume {waiting.run_id} --step {shlex.quote(waiting.path)} --as"
    return {verdict: f"{resolve} {verdict}{where}" for verdict in ("done", "retry", "failed")}


def _required(form: dict[str, JSON]) -> Iterable[str]:
    return (name for name, schema in form.items() if not has_default(schema))


def waiting_lines(waiting: Waiting, where: str) -> list[str]:
    """Return the lines about a wait: who waits for what, what is shown, and how to answer."""
    mark = symbol("unknown" if waiting.kind == "unknown" else "waiting")
    lines = [f"{visible(waiting.run_name)}  {mark} {visible(waiting.path)}  {headline(waiting)}"]
    if waiting.kind != "event":
        lines += [f"    {line}".rstrip() for line in asked(waiting)]
    if waiting.answered is not None:
        return [*lines, f"  answered at {clock(waiting.answered)}; it counts when the run continues"]
    answers = commands(waiting, where)
    width = max(map(len, answers)) + 1
    return [*lines, *(f"  {f'{word}:':<{width}} {command}" for word, command in answers.items())]


def unresolved_lines(found: Unresolved, where: str) -> list[str]:
    """Return the lines about failed undo steps and unknown outcomes, the most urgent last. Nothing: []."""
    lines = [
        f"{symbol('failed')} NOT UNDONE: {visible(path)}: its undo failed, so what it did still stands: {error_line(error)}"
        for path, error in found.undos.items()
    ]
    for waiting in found.doubts:
        lines += waiting_lines(waiting, where)
    return lines
