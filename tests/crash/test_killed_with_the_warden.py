"""A runner and its warden killed together leave a step running: whoever takes the run over ends it first."""

from __future__ import annotations

import os
import signal
import subprocess

from waiting import eventually

LOOP = """
    loop: alone
    steps:
      - shell: |
          exec 9>lock
          flock -n 9 || { echo side by side >trace; exit 1; }
          echo $$ >>pids
          [ -e go ] || sleep 60
"""


def test_a_run_is_resumed_only_when_the_old_attempt_is_dead(project, agentctl):
    project.write("loops/alone.yaml", LOOP)
    runner = agentctl.start("run", "alone")
    pids = project.root / "pids"
    eventually(lambda: pids.exists() and pids.read_text().endswith("\n"))
    wardens = subprocess.run(["pgrep", "-P", str(runner.pid), "-f", "import sys; exec"], capture_output=True, text=True)
    os.kill(runner.pid, signal.SIGSTOP)  # so that it cannot replace its warden
    os.kill(int(wardens.stdout), signal.SIGKILL)
    runner.kill()
    runner.wait()
    (project.root / "go").touch()
    assert agentctl("resume", "last").code == 0
    assert not (project.root / "trace").exists()
    assert len(pids.read_text().split()) == 2
