"""Which project the deployments of a store come from: its root is recorded with each, and only its files decide on it.

A store may be named from anywhere, by `--db` or $AGENTCTL_DB: what does not lie there is not gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from agentctl.language.project.project import Project, find
from agentctl.ports import Deployment, Deployments


def root_of(project: Project) -> str:
    """As in Deployment.root: relative to the store's folder."""
    return os.path.relpath(os.path.realpath(project.root), _folder(project))


def folder_of(project: Project, root: str) -> Path:
    """The folder that a Deployment.root in this project's store means."""
    return Path(os.path.normpath(os.path.join(_folder(project), root)))


def abandoned(project: Project, deployments: Iterable[Deployment]) -> set[str]:
    """The roots that are no more: the project was removed, or moved away from its store. The next `serve` becomes their owner."""
    return {root for root in {found.root for found in deployments} if not folder_of(project, root).is_dir()}


def is_home(project: Project, store: Deployments) -> bool:
    """Whether the store is this project's own, or something is deployed there from it already.

    Where nothing is deployed yet, the first project is at home.
    """
    its_own = find(project.root, environment={}).store_path
    deployed = [found for found in store.deployments() if not found.gone]
    roots = {found.root for found in deployed} - abandoned(project, deployed)
    return project.store_path.resolve() == its_own.resolve() or not roots or root_of(project) in roots


def _folder(project: Project) -> str:
    return os.path.realpath(project.store_path.parent)
