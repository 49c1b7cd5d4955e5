"""The accounts of budgets that several runs draw on: what was spent, and what calls under way may still take (`core.budget`).

A reservation is made, or refused, in the transaction that journals the start of the call; it is settled in the one that journals
the answer. Both belong to a (run, path), so that the next owner of a run finds what its dead predecessor had under way.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.core.budget import fits
from agentctl.core.events import Account
from agentctl.ports import Refusal, Reservation, Settlement
from agentctl.store.db.session import Session


def settle(session: Session, run: int, settlements: Sequence[Settlement]) -> None:
    """Turn reservations of a run (by key) into what the calls cost; without a reported usage, into its estimate."""
    for settlement in settlements:
        rows = _under_way(session, run, settlement.path)
        usage = settlement.usage
        spent = [
            (account, tokens, 0.0) if usage is None else (account, usage.input_tokens + usage.output_tokens, usage.usd or 0.0)
            for _, account, tokens in rows
        ]
        session.connection.executemany(
            "INSERT INTO accounts (key, tokens, usd) VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET tokens = tokens + excluded.tokens, usd = usd + excluded.usd",
            spent,
        )
        session.connection.executemany(
            "DELETE FROM reservations WHERE run = ? AND path = ?", [(run, path) for path in {path for path, _, _ in rows}]
        )


def _under_way(session: Session, run: int, path: str | None) -> list[tuple[str, str, int]]:
    """(path, account, tokens) of one call, or of every call of the run."""
    where, values = ("run = ?", (run,)) if path is None else ("run = ? AND path = ?", (run, path))
    return session.connection.execute(f"SELECT path, account, tokens FROM reservations WHERE {where}", values).fetchall()


def reserve(session: Session, run: int, reservations: Sequence[Reservation]) -> list[Refusal]:
    """Set aside what calls may take, each in all of its accounts or in none; returns those that do not fit."""
    refused = []
    for wanted in reservations:
        refusal = next(filter(None, (_refusal(session, wanted, account) for account in wanted.accounts)), None)
        if refusal is not None:
            refused.append(refusal)
            continue
        session.connection.executemany(
            "INSERT INTO reservations (run, path, account, tokens) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (run, path, account) DO UPDATE SET tokens = tokens + excluded.tokens",
            [(run, wanted.path, account.key, wanted.tokens) for account in wanted.accounts],
        )
    return refused


def _refusal(session: Session, wanted: Reservation, account: Account) -> Refusal | None:
    spent = session.connection.execute("SELECT tokens, usd FROM accounts WHERE key = ?", (account.key,)).fetchone()
    tokens, usd = spent or (0, 0.0)
    reserved = session.connection.execute(
        "SELECT coalesce(sum(tokens), 0) FROM reservations WHERE account = ?", (account.key,)
    ).fetchone()[0]
    if fits(account, spent=tokens, usd=usd, reserved=reserved, wanted=wanted.tokens):
        return None
    return Refusal(path=wanted.path, account=account, spent=tokens, usd=usd, reserved=reserved, wanted=wanted.tokens)
