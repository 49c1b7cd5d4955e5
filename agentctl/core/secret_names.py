"""Which secrets a definition names: they are masked from when a run of it is loaded, whichever step uses them first."""

from __future__ import annotations

from agentctl.expressions.references import references, templates_in
from agentctl.expressions.secrecy import secret_parts
from agentctl.model import Definition


def secrets_of(definition: Definition) -> frozenset[str]:
    """The names after `secrets.` in its steps and triggers. A name cannot be computed, so none is missed."""
    found = {
        str(reference.path[1])
        for template in templates_in(definition)
        if template.names_secrets
        for reference in references(template)
        if reference.path[0] == "secrets" and len(reference.path) > 1
    }
    for trigger in definition.triggers:
        secret = trigger.settings.get("secret") if trigger.kind == "webhook" else None
        if isinstance(secret, str):
            found.update(name for _, name in secret_parts(secret) if name)
    return frozenset(found)
