"""`agentctl approve`."""

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
    """Approve what a run asks for.

    What is signed is printed in full; on a terminal you are asked once more. The signature counts for exactly that text:
    if the run has come to show something else, it is refused.
    """
    sign(run, step, comment, data or [], db, approved=True, json=json)
