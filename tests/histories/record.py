"""Write down one run of a store for `test_histories.py`: its definition, its journal, and what the journal folds to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agentctl.core.events import encode
from agentctl.core.graph import Plan
from agentctl.core.interpreter import fold
from agentctl.core.state import RunState
from agentctl.store.ledger import open_store

HERE = Path(__file__).parent


def summary(state: RunState) -> dict[str, object]:
    """What must never change about a folded journal."""
    return {
        "status": state.status,
        "output": state.output,
        "error": state.error.to_json() if state.error is not None else None,
        "steps": {path: [step.status, step.attempt] for path, step in state.steps.items()},
        "done": [state.steps_done, state.steps_total],
    }


def main(name: str, store_path: str, run: str) -> None:
    store = open_store(Path(store_path), read_only=True)
    row = store.find(run)
    journal = list(store.journal(row.id))
    stored = store.definition(row.version)
    store.close()
    assert stored is not None
    plan = Plan(stored.definition)
    lines = "".join(encode(event).decode() + "\n" for event in journal)
    (HERE / f"{name}.yaml").write_text(stored.source)
    (HERE / f"{name}.jsonl").write_text(lines)
    expected = summary(fold(journal, lambda version: plan))
    (HERE / f"{name}.json").write_text(json.dumps(expected, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
