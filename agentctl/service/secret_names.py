"""The secrets that deployed definitions name: masked from the moment of deployment, and reported once when they are not set."""

from __future__ import annotations

import logging

from agentctl.core.secret_names import secrets_of
from agentctl.ports import SecretSource
from agentctl.service.component import Deployed

log = logging.getLogger(__name__)


class DeployedSecrets:
    """Follows the deployments."""

    def __init__(self, deployed: Deployed, secrets: SecretSource) -> None:
        self._deployed = deployed
        self._secrets = secrets
        self._reported: set[str] = set()
        deployed.on_change.append(self.look)

    def look(self) -> None:
        """Learn the names in what is deployed now; a warning for each that is not set."""
        users: dict[str, list[str]] = {}
        for stored in [*self._deployed.definitions().values(), *self._deployed.paused().values()]:
            for name in secrets_of(stored.definition):
                users.setdefault(name, []).append(stored.definition.name)
        missing = set(self._secrets.expect(users))
        for name in sorted(missing - self._reported):
            log.warning("the secret %s is not set; used by %s", name, ", ".join(sorted(users[name])))
        self._reported = missing
