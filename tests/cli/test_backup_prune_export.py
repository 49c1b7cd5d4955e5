"""`agentctl backup`, the documented way back, `prune` and `export`, as a person uses them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from waiting import eventually

SERVE = Path(__file__).resolve().parent.parent.parent / "docs" / "serve.md"

LOOP = """
    loop: work
    input:
      n: {type: integer, default: 1}
    steps:
      - id: first
        shell: echo one >>trace
      - id: hold
        shell: while [ ! -e go ]; do sleep 0.05; done
      - id: large
        shell: head -c 1500000 /dev/zero | tr '\\0' x
      - id: last
        set: {bytes: "${{ steps.large.output.bytes }}"}
"""
SMALL = """
    loop: small
    input:
      n: {type: integer, default: 1}
    steps:
      - skill: helper
      - fail: {type: odd, message: "no"}
        if: input.n == 3
"""
HELPER = "skill: helper\nsteps:\n  - set: {a: 1}\n"


@pytest.fixture
def small(project):
    project.write("loops/small.yaml", SMALL)
    project.write("skills/helper.yaml", HELPER)


def restore_commands(backup: Path) -> str:
    """The block that docs/serve.md gives, with the name of our backup."""
    section = SERVE.read_text(encoding="utf-8").split("\n### Restore\n")[1].split("\n#")[0]
    commands = [line.strip() for line in re.findall(r"^    .*", section, re.MULTILINE) if "systemctl" not in line]
    return "\n".join(commands).replace("/backups/agentctl.tar", str(backup))


def test_a_run_in_flight_goes_on_from_the_backup_by_the_documented_way(project, agentctl, tmp_path):
    project.write("loops/work.yaml", LOOP)
    running = agentctl.start("run", "work")
    eventually((project.root / "trace").exists)
    [run] = agentctl("history", "--json").json
    backup = tmp_path / "b.tar"
    made = agentctl("backup", backup, "--json").json
    assert made == {"file": str(backup), "bytes": backup.stat().st_size, "runs": 1, "files": made["files"]}
    running.kill()
    running.wait()
    shutil.rmtree(project.root / ".agentctl" / "logs")  # the disk is damaged
    project.store.write_bytes(b"damaged")
    done = subprocess.run(["sh", "-euc", restore_commands(backup)], cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [restored] = agentctl("history", "--json").json
    assert (restored["run_id"], restored["status"]) == (run["run_id"], "interrupted")
    (project.root / "go").touch()
    result = agentctl("resume", "last", "--json")
    assert result.json["output"] == {"bytes": 1_500_000}
    assert (project.root / "trace").read_text() == "one\n", "the step that had finished before the backup did not run again"
    checks = {finding["check"]: finding["status"] for finding in agentctl("doctor", "--json").json}
    assert (checks["store"], checks["store.integrity"], checks["store.permissions"]) == ("ok", "ok", "ok")


def test_a_run_that_is_restored_in_another_folder_finds_its_large_outputs_there(project, agentctl, tmp_path):
    project.write(
        "loops/large.yaml",
        """
        loop: large
        steps:
          - id: big
            shell: head -c 1500000 /dev/zero | tr '\\0' x
          - id: count
            shell: test -e go && wc -c <"$FILE"
            env: {FILE: "${{ steps.big.output.file }}"}
            parse: json
        """,
    )
    assert agentctl("run", "large").code == 1
    assert agentctl("backup", tmp_path / "b.tar").code == 0
    other = tmp_path / "other"
    (other / ".agentctl").mkdir(mode=0o700, parents=True)
    shutil.unpack_archive(tmp_path / "b.tar", other / ".agentctl", filter="data")
    shutil.rmtree(project.root)
    (other / "go").touch()
    assert agentctl("resume", "last", "--json", cwd=other).json["output"] == 1_500_000
    shown = agentctl("show", "last", "--json", cwd=other).json["steps"][0]["output"]
    assert shown["file"] == str(other / ".agentctl" / "payloads" / shown["sha256"])


def test_a_backup_never_overwrites_and_says_what_it_holds(small, agentctl, tmp_path):
    agentctl("run", "small")
    first = agentctl("backup", tmp_path / "b.tgz")
    assert first.code == 0
    assert "2 runs" in first.err
    before = (tmp_path / "b.tgz").read_bytes()
    again = agentctl("backup", tmp_path / "b.tgz")
    assert (again.code, "overwrites nothing" in again.err) == (2, True)
    assert (tmp_path / "b.tgz").read_bytes() == before
    assert agentctl("backup", tmp_path / "nowhere" / "b.tar").code == 2
    (tmp_path / "link.tar").symlink_to(tmp_path / "not-mounted.tar")
    assert agentctl("backup", tmp_path / "link.tar").code == 2
    assert (tmp_path / "link.tar").is_symlink()
    assert agentctl("backup", "").err.startswith("error: backup takes the name of a new file")
    unnamed = agentctl("backup", tmp_path / "\udcff.tar", "--json")
    assert (unnamed.code, unnamed.json["error"]["type"]) == (2, "usage")


def test_there_is_nothing_to_back_up_before_the_first_run(agentctl, tmp_path):
    result = agentctl("backup", tmp_path / "b.tar", "--json")
    assert (result.code, result.json["error"]["type"]) == (5, "store")


def test_prune_removes_what_ended_long_ago(small, agentctl, project):
    agentctl("run", "small")
    refused = agentctl("prune")
    assert (refused.code, "--older-than" in refused.err) == (2, True)
    assert "removed nothing" in agentctl("prune", "--older-than", "1h").err
    assert agentctl("prune", "--older-than", "0s", "--dry-run", "--json").json["runs"] == 2
    assert len(agentctl("history", "--json").json) == 2
    removed = agentctl("prune", "--older-than", "0s", "--json").json
    assert (removed["runs"], removed["dry_run"]) == (2, False)
    assert agentctl("history", "--json").json == []
    assert agentctl("run", "small").code == 0, "the store works on"


def test_backup_prune_and_export_work_beside_a_service(small, agentctl, project, tmp_path):
    project.write("loops/tick.yaml", "loop: tick\ntriggers:\n  - every: 200ms\nsteps:\n  - shell: 'true'\n")
    serving = agentctl.start("serve")
    eventually(lambda: len(agentctl("history", "--loop", "tick", "--status", "succeeded", "--json").json) >= 3)
    assert agentctl("backup", tmp_path / "b.tar", "--json").json["runs"] >= 3
    assert len(agentctl("export", "--loop", "tick").out.splitlines()) >= 3
    assert agentctl("prune", "--older-than", "0s", "--json").json["runs"] >= 3
    eventually(lambda: len(agentctl("history", "--loop", "tick", "--status", "succeeded", "--json").json) >= 2)
    serving.terminate()
    assert serving.wait(30) == 0
    rows = agentctl("history", "--json").json
    assert {row["status"] for row in rows} <= {"succeeded", "queued"}
    checks = {finding["check"]: finding["status"] for finding in agentctl("doctor", "--json").json}
    assert checks["store.integrity"] == "ok"


def test_prune_takes_the_retention_of_the_project_file(small, agentctl, project):
    project.write("agentctl.yaml", "retention: 90d\n")
    agentctl("run", "small")
    assert agentctl("prune", "--json").json["runs"] == 0
    assert agentctl("prune", "--older-than", "soon").code == 2


@pytest.mark.parametrize("value", ["90", "0s", "10m", "forever", "[90d]"])
def test_a_retention_that_is_none_is_told_at_its_line(small, agentctl, project, value):
    project.write("agentctl.yaml", f"vars: {{}}\nretention: {value}\n")
    result = agentctl("history")
    assert result.code == 2
    assert "agentctl.yaml:2:1: error[wrong-value]: 'retention' has to be a duration of 1h or more" in result.err


def test_pruning_where_there_is_no_store_makes_none(agentctl, project):
    assert agentctl("prune", "--older-than", "1d", "--json").json["runs"] == 0
    assert not project.store.exists()


def test_export_prints_each_run_on_a_line_as_show_does_oldest_first(small, agentctl):
    for number in (1, 2, 3):
        agentctl("run", "small", "-i", f"n={number}")
    lines = [json.loads(line) for line in agentctl("export").out.splitlines()]
    ids = [run["run_id"] for run in agentctl("history", "--json").json]
    assert [line["run"]["run_id"] for line in lines] == ids[::-1]
    assert lines[0] == agentctl("show", ids[-1], "--json").json
    assert agentctl("export", "--json").json == lines


def test_export_takes_the_filters_of_history(small, agentctl):
    for number in (1, 3):
        agentctl("run", "small", "-i", f"n={number}")

    def exported(*options: str) -> list[str]:
        return [json.loads(line)["run"]["loop"] for line in agentctl("export", *options).out.splitlines()]

    assert exported("--loop", "helper") == ["helper", "helper"]
    assert exported("--status", "failed") == ["small"]
    assert exported("--since", "1h", "--loop", "small") == ["small", "small"]
    assert exported("--since", "2999-01-01") == []
    assert agentctl("export", "--status", "failed,nonsense").code == 2
    assert agentctl("export", "--since", "2999-01-01", "--json").json == []


def test_export_where_there_is_no_store_is_empty(agentctl):
    assert (agentctl("export").out, agentctl("export", "--json").json) == ("", [])
