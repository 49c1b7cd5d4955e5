"""`agentctl reject`."""

from __future__ import annotations

from agentctl.cli import params
from agentctl.cli.approvals import Comment, Data, Step, sign


def command(
    run: params.Run,
    step: Step = None,
    comment: Comment = None,
    data: Data = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Reject what a run asks for: the step fails with `approval.rejected`."""
    sign(run, step, comment, data or [], db, approved=False, json=json)
