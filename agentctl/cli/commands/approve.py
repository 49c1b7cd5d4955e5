"""`agentctl approve`."""

from __future__ import annotations

from agentctl.cli import params
from agentctl.cli.approvals import Comment, Data, Step, sign

EXAMPLES = (
    "agentctl approve last",
    "agentctl approve 6lp5 sign --data copies=2 --comment checked",
)


def command(
    run: params.Run,
    step: Step = None,
    comment: Comment = None,
    data: Data = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Approve what a run asks for.

    What you sign is printed in full; on a terminal you are asked to confirm. The signature holds for exactly that text:
    if the run shows something else by then, it is refused.
    """
    sign(run, step, comment, data or [], db, approved=True, json=json)
