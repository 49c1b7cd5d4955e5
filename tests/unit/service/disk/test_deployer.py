"""Hot deploy, with real files."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import NotFound
from agentctl.language.project.project import find
from agentctl.ports import Deployment
from agentctl.service.disk.deployer import Deployer, bring_in_line
from agentctl.store.ledger import open_store

GOOD = "loop: health\ntriggers: [{event: infra.check}]\nsteps: [{shell: 'echo one'}]\n"
BETTER = "loop: health\ntriggers: [{event: infra.asked}]\nsteps: [{shell: 'echo two'}]\n"
BROKEN = "loop: health\nstpes: []\n"
SKILL = "skill: triage\nsteps: [{shell: 'echo hello'}]\n"
CALLER = "loop: caller\nsteps: [{skill: triage}]\n"

pytestmark = pytest.mark.usefixtures("unwatched")


@pytest.fixture
def deployer(disk: Any, store: Any, clock: Any) -> Deployer:
    return Deployer(disk.project, store, clock)


def script(deployer: Deployer, name: str = "health") -> str | None:
    """What the first step of the deployed version runs; None: nothing is deployed."""
    stored = deployer.definitions().get(name)
    return None if stored is None else stored.definition.steps[0].action.params.evaluate({})["run"]


def only(store: Any) -> Deployment:
    [found] = store.deployments()
    return found


async def test_what_is_in_the_folders_is_deployed_before_it_is_ready(disk: Any, store: Any, deployer: Deployer) -> None:
    disk.write("loops/team/health.yaml", GOOD)
    disk.write("skills/triage.yaml", SKILL)
    disk.write("loops/health.test.yaml", "test: health\n")
    await deployer.begin()
    assert [(found.name, found.kind, found.file) for found in store.deployments()] == [
        ("health", "loop", "loops/team/health.yaml"),
        ("triage", "skill", "skills/triage.yaml"),
    ]
    assert sorted(deployer.definitions()) == ["health", "triage"]
    assert [found.name for found in store.subscriptions("infra.check")] == ["health"]
    assert store.definition(only_version(store, "health")).source == GOOD


def only_version(store: Any, name: str) -> str:
    return next(found.version for found in store.deployments() if found.name == name)


async def test_a_changed_file_serves_the_next_run(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        disk.write("loops/health.yaml", BETTER)
        await eventually(lambda: script(deployer) == "echo two")
    assert [found.name for found in store.subscriptions("infra.asked")] == ["health"]
    assert store.subscriptions("infra.check") == []


async def test_a_file_that_is_replaced_by_another_of_its_name_is_seen(
    disk: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    path = disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        aside = disk.write("loops/.health.yaml.new", BETTER)
        status = path.stat()
        os.utime(aside, ns=(status.st_atime_ns, status.st_mtime_ns))
        aside.replace(path)
        await eventually(lambda: script(deployer) == "echo two")


async def test_an_invalid_edit_keeps_the_last_good_version_and_says_so_once(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        disk.write("loops/health.yaml", BROKEN)
        await eventually(lambda: only(store).problem)
        assert script(deployer) == "echo one"
        assert [found.name for found in store.subscriptions("infra.check")] == ["health"]
        disk.write("loops/other.yaml", "loop: other\nsteps: [{shell: x}]\n")
        await eventually(lambda: "other" in deployer.definitions())
    assert only_problem(store).startswith("loops/health.yaml:2:1: error[unknown-key]: unknown key 'stpes'")
    said = [record.getMessage() for record in caplog.records if "stpes" in record.getMessage()]
    assert len(said) == 1
    assert said[0].endswith("; the last good version of 'health' stays")


def only_problem(store: Any) -> str:
    [problem] = [found.problem for found in store.deployments() if found.problem]
    return problem


async def test_the_last_good_version_outlives_a_restart(disk: Any, store: Any, clock: Any) -> None:
    disk.write("loops/health.yaml", GOOD)
    await Deployer(disk.project, store, clock).begin()
    disk.write("loops/health.yaml", BROKEN)
    again = Deployer(disk.project, store, clock)
    await again.begin()
    assert script(again) == "echo one"
    assert [found.name for found in store.subscriptions("infra.check")] == ["health"]


async def test_every_serve_says_what_cannot_be_used_though_a_command_found_it_first(
    disk: Any, store: Any, clock: Any, deployer: Deployer, caplog: pytest.LogCaptureFixture
) -> None:
    disk.write("loops/health.yaml", BROKEN)
    await bring_in_line(disk.project, store, clock.now())
    for serving in (deployer, Deployer(disk.project, store, clock)):
        caplog.clear()
        await serving.begin()
        await serving.reload()
        assert [record.getMessage() for record in caplog.records] == [f"{only_problem(store)}; 'health' is not deployed"]


async def test_a_mended_file_is_deployed_again(disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any) -> None:
    disk.write("loops/health.yaml", BROKEN)
    async with running(deployer):
        assert deployer.definitions() == {}
        disk.write("loops/health.yaml", GOOD)
        await eventually(lambda: script(deployer) == "echo one")
    assert only(store).problem is None


async def test_what_disappears_is_triggered_no_more_and_what_comes_back_is(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        disk.remove("loops/health.yaml")
        await eventually(lambda: not deployer.definitions())
        assert (only(store).gone, store.subscriptions("infra.check")) == (True, [])
        disk.write("loops/health.yaml", GOOD)
        await eventually(lambda: script(deployer) == "echo one")
        assert [found.name for found in store.subscriptions("infra.check")] == ["health"]


async def test_a_file_that_moves_to_another_folder_stays_deployed(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    path = disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        (disk.root / "loops/team").mkdir()
        path.rename(disk.root / "loops/team/health.yaml")
        await eventually(lambda: only(store).file == "loops/team/health.yaml")
    assert (only(store).gone, script(deployer)) == (False, "echo one")


async def test_folders_may_appear_later_and_be_links(
    disk: Any, tmp_path: Path, deployer: Deployer, running: Any, eventually: Any
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/health.yaml").write_text(GOOD)
    async with running(deployer):
        assert deployer.definitions() == {}
        (disk.root / "loops").mkdir()
        (disk.root / "loops/team").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/again").symlink_to(tmp_path / "elsewhere")
        await eventually(lambda: script(deployer) == "echo one")


async def test_files_as_kubernetes_mounts_them_change_when_their_folder_is_exchanged(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    disk.write("loops/..v1/health.yaml", GOOD)
    disk.write("loops/..v2/health.yaml", BETTER)
    (disk.root / "loops/..data").symlink_to("..v1")
    (disk.root / "loops/health.yaml").symlink_to("..data/health.yaml")
    async with running(deployer):
        assert (script(deployer), only(store).problem) == ("echo one", None)
        (disk.root / "loops/..next").symlink_to("..v2")
        (disk.root / "loops/..next").replace(disk.root / "loops/..data")
        await eventually(lambda: script(deployer) == "echo two")


async def test_two_files_of_one_name_are_told_and_the_deployed_one_stays(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        disk.write("loops/a-copy.yaml", BETTER)
        await eventually(lambda: only(store).problem)
        assert script(deployer) == "echo one"
        disk.remove("loops/health.yaml")
        await eventually(lambda: script(deployer) == "echo two")
    assert only(store).problem is None
    assert "loops/a-copy.yaml: defines 'health' as well, and is not used: loops/health.yaml is" in caplog.text


async def test_a_loop_is_deployed_as_soon_as_the_skill_it_calls_is_there(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    disk.write("loops/caller.yaml", CALLER)
    async with running(deployer):
        assert "there is no skill 'triage'" in only_problem(store)
        disk.write("skills/triage.yaml", SKILL)
        await eventually(lambda: "caller" in deployer.definitions())


async def test_a_file_is_not_read_while_somebody_writes_to_it(
    disk: Any, store: Any, clock: Any, deployer: Deployer, running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = disk.write("loops/health.yaml", GOOD)
    async with running(deployer):
        clock.advance(2.0)
        for length in range(10, len(BETTER), 10):
            path.write_text(BETTER[:length])
            clock.advance(0.1)
            await asyncio.sleep(0.02)
        assert only(store).problem is None
        assert script(deployer) == "echo one"
    assert caplog.text == ""


async def test_a_file_to_which_somebody_writes_without_end_is_read_at_last(
    disk: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    disk.write("loops/health.yaml", GOOD)
    written = 0

    def is_deployed_while_somebody_writes() -> bool:
        nonlocal written
        written += 1
        disk.write("loops/health.yaml", f"{BETTER}# {written}\n")
        return script(deployer) == "echo two"

    async with running(deployer):
        await eventually(is_deployed_while_somebody_writes)
    assert written > 20


async def test_nothing_is_written_when_nothing_has_changed(disk: Any, store: Any, deployer: Deployer) -> None:
    path = disk.write("loops/health.yaml", GOOD)
    await deployer.begin()
    store.changed()
    other = Deployer(disk.project, store, deployer._clock)
    os.utime(path, (1, 1))
    readings, changed = await bring_in_line(disk.project, store, 5.0)
    await other.begin()
    assert (len(readings), changed) == (1, [])


async def test_pauses_that_others_make_are_followed(
    disk: Any, store: Any, deployer: Deployer, running: Any, eventually: Any
) -> None:
    disk.write("loops/health.yaml", GOOD)
    told: list[tuple[list[str], list[str]]] = []
    deployer.on_change.append(lambda: told.append((list(deployer.definitions()), list(deployer.paused()))))
    async with running(deployer):
        await store.pause("health", 5.0)
        deployer.look()
        await eventually(lambda: not deployer.definitions())
        await store.unpause("health", 6.0)
        deployer.look()
        await eventually(deployer.definitions)
    assert told == [(["health"], []), ([], ["health"]), (["health"], [])]


async def test_a_paused_definition_is_deployed_and_called_all_the_same(disk: Any, store: Any, deployer: Deployer) -> None:
    disk.write("skills/triage.yaml", SKILL)
    await deployer.begin()
    await store.pause("triage", 5.0)
    disk.write("skills/triage.yaml", SKILL.replace("hello", "bye"))
    await deployer.reload()
    assert only(store).paused_at == 5.0
    assert "bye" in deployer.skill("triage").source


async def test_a_skill_whose_file_is_broken_is_called_as_it_last_was_good(disk: Any, deployer: Deployer) -> None:
    disk.write("skills/triage.yaml", SKILL)
    await deployer.begin()
    disk.write("skills/triage.yaml", "skill: triage\nsteps: [{shel: x}]\n")
    await deployer.reload()
    assert deployer.skill("triage").source == SKILL


async def test_a_skill_that_is_gone_or_never_was_is_not_found(disk: Any, deployer: Deployer) -> None:
    disk.write("skills/triage.yaml", SKILL)
    disk.write("skills/broken.yaml", "skill: broken\nstpes: []\n")
    await deployer.begin()
    with pytest.raises(NotFound, match="did you mean 'triage'"):
        deployer.skill("triagge")
    with pytest.raises(NotFound, match=r"skills/broken.yaml:2:1"):
        deployer.skill("broken")
    disk.remove("skills/triage.yaml")
    await deployer.reload()
    with pytest.raises(NotFound, match="'triage'"):
        deployer.skill("triage")


async def test_a_changed_project_file_asks_for_a_restart_once(
    disk: Any, deployer: Deployer, running: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(deployer):
        disk.write("agentctl.yaml", "vars: {channel: dev}\n")
        await eventually(lambda: caplog.records)
        await deployer.reload()
    assert [record.getMessage() for record in caplog.records] == ["agentctl.yaml has changed; start serve again to have it read"]


async def test_a_file_that_says_not_what_it_is_is_told_once(
    disk: Any, deployer: Deployer, caplog: pytest.LogCaptureFixture
) -> None:
    disk.write("loops/notes.yaml", "remember: to buy milk\n")
    await deployer.begin()
    await deployer.reload()
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("loops/notes.yaml:1:1: error[")
    assert said.endswith("nothing is deployed from it")


async def test_a_folder_that_cannot_be_listed_leaves_everything_as_it_is(
    disk: Any, store: Any, deployer: Deployer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk.write("loops/health.yaml", GOOD)
    await deployer.begin()

    def fails(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(disk.root / "loops"))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", fails)
        await deployer.reload()
        await deployer.reload()
    assert not only(store).gone
    assert caplog.text.count("loops: Permission denied; everything stays as it is deployed") == 1


async def test_the_event_loop_turns_while_many_files_are_read(disk: Any, deployer: Deployer) -> None:
    for number in range(100):
        disk.write(f"loops/health-{number}.yaml", GOOD.replace("loop: health", f"loop: health-{number}"))
    turns = 0
    reading = asyncio.create_task(deployer.begin())
    while not reading.done():
        await asyncio.sleep(0.001)
        turns += 1
    await reading
    assert len(deployer.definitions()) == 100
    assert turns > 10


def test_a_command_deploys_without_a_service(disk: Any, store: Any) -> None:
    from agentctl.wiring import deploy_now

    disk.write("loops/health.yaml", GOOD)
    asyncio.run(deploy_now(disk.project, store))
    assert [found.name for found in store.subscriptions("infra.check")] == ["health"]
    shutil.rmtree(disk.root / "loops")
    asyncio.run(deploy_now(disk.project, store))
    assert store.subscriptions("infra.check") == []


def test_a_command_elsewhere_leaves_what_is_deployed_alone(disk: Any, store: Any, tmp_path: Path) -> None:
    from agentctl.wiring import deploy_now

    disk.write("loops/health.yaml", GOOD)
    disk.write("skills/triage.yaml", SKILL)
    away = find(disk.root, db=store.path)
    asyncio.run(deploy_now(away, store))
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "loops").mkdir(parents=True)
    (elsewhere / "loops" / "other.yaml").write_text(CALLER)
    asyncio.run(deploy_now(find(elsewhere, db=store.path), store))
    assert [(found.name, found.gone) for found in store.deployments()] == [("health", False), ("triage", False)]
    disk.write("loops/health.yaml", BETTER)
    asyncio.run(deploy_now(away, store))
    assert [found.name for found in store.subscriptions("infra.asked")] == ["health"]


async def test_a_service_elsewhere_judges_its_own_files_alone_and_says_what_it_found(
    disk: Any, store: Any, clock: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.write("loops/health.yaml", GOOD)
    disk.write("skills/triage.yaml", SKILL)
    await Deployer(disk.project, store, clock).begin()
    elsewhere = type(disk)(tmp_path / "elsewhere")
    elsewhere.write("loops/other.yaml", GOOD.replace("loop: health", "loop: other"))
    elsewhere.write("skills/triage.yaml", SKILL)
    guest = Deployer(find(elsewhere.root, db=store.path), store, clock)
    await guest.begin()
    await guest.reload()
    assert {found.name: (found.gone, found.root) for found in store.deployments()} == {
        "health": (False, ".."),
        "other": (False, "../../elsewhere"),
        "triage": (False, "../../elsewhere"),  # a name is deployed from where it was seen last
    }
    assert sorted(guest.definitions()) == ["health", "other", "triage"]
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"deployed from {disk.root}: health; that stays as it is")
    elsewhere.remove("loops/other.yaml")
    await guest.reload()
    assert [found.name for found in store.deployments() if found.gone] == ["other"]


async def test_a_project_that_was_moved_with_its_store_still_decides_on_what_it_deployed(
    disk: Any, store: Any, clock: Any, tmp_path: Path
) -> None:
    disk.write("loops/health.yaml", GOOD)
    await Deployer(disk.project, store, clock).begin()
    store.close()
    moved = disk.root.rename(tmp_path / "moved")
    (moved / "loops/health.yaml").unlink()
    opened = open_store(find(moved).store_path)
    await Deployer(find(moved), opened, clock).begin()
    assert only(opened).gone
    opened.close()


async def test_of_a_project_that_is_no_more_the_next_one_that_serves_is_the_heir(
    disk: Any, clock: Any, tmp_path: Path
) -> None:
    old, heir = type(disk)(tmp_path / "old"), type(disk)(tmp_path / "heir")
    old.write("loops/health.yaml", GOOD)
    with closing(open_store(tmp_path / "store" / "agentctl.db")) as store:
        await Deployer(find(old.root, db=store.path), store, clock).begin()
        shutil.rmtree(old.root)
        await Deployer(find(heir.root, db=store.path), store, clock).begin()
        assert only(store).gone


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings are what these tests look for; that something was deployed is no news here."""
    caplog.set_level(logging.WARNING, "agentctl.service")
