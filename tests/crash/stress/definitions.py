"""Random definitions whose outcome is known in advance, and whose steps leave a trace of every execution in `effects.log`."""

from __future__ import annotations

import random
from typing import Any

SCRIPT = """\
#!/bin/sh
# One execution of a step. A line `B` when it begins, `E` when it ends, `O` when another execution of the same step lives.
# The lock is held by every process of the tree, so it is free only when the whole tree is dead.
ulimit -S -f unlimited  # a full disk of the runner is simulated by a limit, which its children inherit
key="$AGENTCTL_RUN_ID/$AGENTCTL_STEP"
exec 9>"locks/$(printf '%s' "$key" | tr -c 'a-zA-Z0-9._' _)"
flock -n 9 || echo "O $key $AGENTCTL_ATTEMPT $(date +%s.%N)" >>effects.log
echo "B $key $AGENTCTL_ATTEMPT $(date +%s.%N)" >>effects.log
sleep "$1"
echo "E $key $AGENTCTL_ATTEMPT $(date +%s.%N)" >>effects.log
[ "${AGENTCTL_ATTEMPT}" -ge "${2:-1}" ] || exit 7
printf '%s' "$AGENTCTL_STEP"
"""


class Author:
    """Writes definitions from one source of randomness: the same seed gives the same texts."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"{seed}/definitions")
        self._ids = 0

    def loop(self, name: str, every: float) -> dict[str, Any]:
        """A loop that always succeeds, however often it is killed."""
        steps = self._steps(depth=0)
        last = self._id("last")
        steps.append({"id": last, "set": {"done": name}})
        return {
            "loop": name,
            "triggers": [{"every": f"{every:g}s"}],
            "steps": steps,
            "output": f"${{{{ steps.{last}.output.done }}}}",
            "finally": [self._effect(self._id("finally"))],
        }

    def _steps(self, depth: int) -> list[dict[str, Any]]:
        return [self._step(depth) for _ in range(self._dice.randint(2, 4 - depth))]

    def _step(self, depth: int) -> dict[str, Any]:
        kinds = ["effect", "effect", "once", "retry", "wait", "fallback"]
        if depth < 2:
            kinds += ["group", "foreach", "repeat"]
        kind = self._dice.choice(kinds)
        step: dict[str, Any] = {"id": self._id(kind)}
        if self._dice.random() < 0.3:
            step["needs"] = []
        if kind == "effect":
            return {**step, **self._effect(step["id"])}
        if kind == "once":
            # `done` without looking: the step has begun, and must not begin again.
            probe = [{"id": "look", "set": {"done": True, "output": "probed"}}]
            return {**step, **self._effect(step["id"]), "effect": "once", "on_unknown": {"probe": probe}}
        if kind == "retry":
            return {**step, **self._effect(step["id"], good_from=2), "retry": {"attempts": 50, "delay": "50ms", "backoff": 1}}
        if kind == "wait":
            return {**step, "wait": f"{self._dice.randint(10, 400)}ms"}
        if kind == "fallback":
            failing = {"shell": "exit 3", "fallback": [self._effect(self._id("instead"))]}
            return {**step, **failing}
        if kind == "group":
            return {**step, "steps": self._steps(depth + 1)}
        if kind == "foreach":
            items = f"${{{{ range({self._dice.randint(2, 4)}) }}}}"
            return {**step, "foreach": items, "max_parallel": 2, "steps": self._steps(depth + 1)}
        return {**step, "repeat": {"until": "index == 1", "max": 3}, "steps": self._steps(depth + 1)}

    def _effect(self, id: str, good_from: int = 1) -> dict[str, Any]:
        seconds = f"{self._dice.uniform(0.0, 0.25):.2f}"
        return {"id": id, "shell": ["sh", "effect.sh", seconds, str(good_from)]}

    def _id(self, word: str) -> str:
        self._ids += 1
        return f"{word}_{self._ids}"
