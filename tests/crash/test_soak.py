"""A short soak; the long one is `python tests/crash/soak --seconds 300`, whose page says what it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def test_serve_killed_at_random_under_load_keeps_every_promise(agentctl: Any, tmp_path: Path) -> None:
    soak = [sys.executable, str(Path(__file__).with_name("soak")), "--seconds", "8", "--longest", "2.5", "--rate", "100"]
    environment = {**agentctl.environment(), "BENCH_TMP": str(tmp_path)}
    done = subprocess.run(soak, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["kills"] >= 2
    assert figures["acknowledged"] >= 50
