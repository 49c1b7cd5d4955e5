"""A short stress run; the long one is `python tests/crash/stress --seconds 1800`, whose docstring says what it checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def test_random_definitions_lose_nothing_and_execute_nothing_twice_under_random_faults(agentctl: Any, tmp_path: Path) -> None:
    stress = [sys.executable, str(Path(__file__).with_name("stress")), "--seconds", "30"]
    environment = {**agentctl.environment(), "BENCH_TMP": str(tmp_path)}
    done = subprocess.run(stress, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["kill"] >= 2
    assert figures["executions"] >= 50
