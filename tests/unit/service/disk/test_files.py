"""File triggers, with real files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agentctl.language.load import load_text
from agentctl.ports import HistoryFilter, OpenWait, StoredDefinition
from agentctl.service.disk.files import STILL, FileWatch

pytestmark = pytest.mark.usefixtures("unwatched")


class Deployed:
    """What is deployed, as a test says."""

    def __init__(self) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._stored: dict[str, StoredDefinition] = {}

    def definitions(self) -> Mapping[str, StoredDefinition]:
        return self._stored

    def paused(self) -> Mapping[str, StoredDefinition]:
        return {}

    def deploy(self, *texts: str) -> None:
        loaded = [load_text(text) for text in texts]
        self._stored = {one.definition.name: one for one in loaded}
        for told in self.on_change:
            told()


def loop(*triggers: str, name: str = "importer", more: str = "") -> str:
    return f"loop: {name}\ntriggers: [{', '.join(triggers)}]\n{more}steps: [{{shell: x}}]\n"


INBOX = loop("{file: 'inbox/*.json'}")


@pytest.fixture
def deployed() -> Deployed:
    found = Deployed()
    found.deploy(INBOX)
    return found


@pytest.fixture
def part(disk: Any, store: Any, clock: Any, deployed: Deployed) -> FileWatch:
    return FileWatch(disk.project, store, clock, deployed, store.send)


def started(store: Any) -> list[tuple[str, str]]:
    """(change, path) of the runs that files have started, oldest first."""
    rows = reversed(store.history(HistoryFilter(limit=1000)))
    return [(row.event["name"].removeprefix("agentctl.file."), row.event["data"]["path"]) for row in rows]


async def test_a_new_file_starts_a_run_with_its_path_and_hash(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any
) -> None:
    async with running(part):
        disk.write("inbox/order.json", "{}")
        await eventually(lambda: started(store))
    [row] = store.history(HistoryFilter())
    digest = sha256(b"{}").hexdigest()
    assert (row.name, row.trigger, row.status) == ("importer", "file", "queued")
    assert row.event["name"] == "agentctl.file.created"
    assert row.event["data"] == {"path": "inbox/order.json", "sha256": digest}
    assert row.event["id"] == f"file:importer:inbox/order.json:{digest}"


async def test_files_that_were_there_before_are_started_oldest_first(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any
) -> None:
    for number in (3, 1, 2):
        os.utime(disk.write(f"inbox/{number}.json", str(number)), (number, number))
    async with running(part):
        await eventually(lambda: len(started(store)) == 3)
    assert started(store) == [("created", f"inbox/{number}.json") for number in (1, 2, 3)]


async def test_each_version_of_a_file_starts_one_run(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any
) -> None:
    async with running(part):
        disk.write("inbox/a.json", "1")
        await eventually(lambda: len(started(store)) == 1)
        disk.write("inbox/a.json", "2")
        await eventually(lambda: len(started(store)) == 2)
        disk.write("inbox/a.json", "1")  # a version that was seen
        disk.write("inbox/b.json", "1")
        await eventually(lambda: len(started(store)) == 3)
    assert started(store) == [("created", "inbox/a.json"), ("modified", "inbox/a.json"), ("created", "inbox/b.json")]


async def test_a_file_that_is_only_touched_starts_nothing(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any
) -> None:
    async with running(part):
        path = disk.write("inbox/a.json", "1")
        await eventually(lambda: len(started(store)) == 1)
        os.utime(path, (5, 5))
        disk.write("inbox/b.json", "1")
        await eventually(lambda: len(started(store)) == 2)
    assert started(store)[1] == ("created", "inbox/b.json")


async def test_a_restart_starts_nothing_again_reads_nothing_again_and_knows_what_is_new(
    disk: Any, store: Any, clock: Any, deployed: Deployed, running: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write("inbox/a.json", "1")
    disk.write("inbox/b.json", "1")
    async with running(FileWatch(disk.project, store, clock, deployed, store.send)):
        await eventually(lambda: len(store.seen_files("importer")) == 2)
    disk.write("inbox/a.json", "2")
    disk.write("inbox/c.json", "1")
    from agentctl.service.disk import files, folders

    read: list[str] = []

    def digest(path: Path, abandoned: Callable[[], bool]) -> str:
        read.append(path.name)
        return folders.digest(path, abandoned)

    monkeypatch.setattr(files, "digest", digest)
    async with running(FileWatch(disk.project, store, clock, deployed, store.send)):
        await eventually(lambda: len(started(store)) == 4)
    assert sorted(started(store)[2:]) == [("created", "inbox/c.json"), ("modified", "inbox/a.json")]
    assert sorted(read) == ["a.json", "c.json"]


async def test_a_file_that_was_sent_but_not_noted_before_a_crash_starts_no_second_run(
    disk: Any, store: Any, clock: Any, deployed: Deployed, running: Any, eventually: Any
) -> None:
    disk.write("inbox/a.json", "1")
    async with running(FileWatch(disk.project, store, clock, deployed, store.send)):
        await eventually(lambda: store.seen_files("importer"))
    await store.mark_files_seen("importer", [], ["inbox/a.json"])
    async with running(FileWatch(disk.project, store, clock, deployed, store.send)):
        await eventually(lambda: store.seen_files("importer"))
    assert len(started(store)) == 1


async def test_a_file_is_left_alone_while_somebody_writes_to_it(
    disk: Any, store: Any, clock: Any, part: FileWatch, running: Any, eventually: Any
) -> None:
    path = disk.write("inbox/a.json", "")
    written = 0

    def is_written_to_the_end() -> bool:
        nonlocal written
        written += 1
        with path.open("a") as stream:
            stream.write("x")
        return written == 40

    async with running(part):
        await eventually(is_written_to_the_end, step=STILL / 4)
        assert started(store) == []
        await eventually(lambda: started(store))
    [row] = store.history(HistoryFilter())
    assert row.event["data"]["sha256"] == sha256(b"x" * 40).hexdigest()


@pytest.mark.parametrize(
    ("on", "expected"),
    [("[created]", [("created", "inbox/a.json")]), ("[modified]", [("modified", "inbox/a.json")])],
)
async def test_a_trigger_may_care_for_one_kind_of_change_only(
    disk: Any, store: Any, part: FileWatch, deployed: Deployed, running: Any, eventually: Any, on: str, expected: Any
) -> None:
    deployed.deploy(loop(f"{{file: 'inbox/*.json', on: {on}}}"), loop("{file: 'inbox/*'}", name="witness"))
    witnessed: Callable[[], int] = lambda: sum(row.name == "witness" for row in store.history(HistoryFilter()))  # noqa: E731
    async with running(part):
        disk.write("inbox/a.json", "1")
        await eventually(lambda: witnessed() == 1 and store.seen_files("importer"))
        disk.write("inbox/a.json", "2")
        await eventually(lambda: witnessed() == 2)
        await eventually(lambda: len(store.history(HistoryFilter())) == 3)
    rows = [row for row in store.history(HistoryFilter()) if row.name == "importer"]
    assert [(row.event["name"].removeprefix("agentctl.file."), row.event["data"]["path"]) for row in rows] == expected


async def test_every_definition_gets_a_run_of_its_own_but_one_for_several_triggers(
    disk: Any, store: Any, part: FileWatch, deployed: Deployed, running: Any, eventually: Any
) -> None:
    deployed.deploy(loop("{file: 'inbox/*'}", "{file: '**/*.json'}"), loop("{file: 'inbox/a.*'}", name="other"))
    disk.write("inbox/a.json", "1")
    async with running(part):
        await eventually(lambda: len(started(store)) == 2 and store.seen_files("importer") and store.seen_files("other"))
    assert sorted(row.name for row in store.history(HistoryFilter())) == ["importer", "other"]


async def test_a_trigger_that_is_deployed_later_finds_what_is_there(
    disk: Any, store: Any, part: FileWatch, deployed: Deployed, running: Any, eventually: Any
) -> None:
    disk.write("outbox/deep/er/a.txt", "1")
    disk.write("outbox/.hidden/b.txt", "1")
    async with running(part):
        deployed.deploy(loop("{file: 'outbox/**'}"))
        await eventually(lambda: started(store))
    assert started(store) == [("created", "outbox/deep/er/a.txt")]


async def test_what_is_deployed_no_more_is_watched_no_more(
    disk: Any, store: Any, clock: Any, part: FileWatch, deployed: Deployed, running: Any, eventually: Any
) -> None:
    deployed.deploy(INBOX, loop("{file: 'inbox/*'}", name="witness"))
    async with running(part):
        disk.write("inbox/a.json", "1")
        await eventually(lambda: len(started(store)) == 2)
        deployed.deploy(loop("{file: 'inbox/*'}", name="witness"))
        disk.write("inbox/b.json", "1")
        await eventually(lambda: len(started(store)) == 3)
    assert store.history(HistoryFilter())[0].name == "witness"


async def test_a_file_that_is_gone_is_forgotten(disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any) -> None:
    async with running(part):
        disk.write("inbox/a.json", "1")
        await eventually(lambda: store.seen_files("importer"))
        disk.remove("inbox/a.json")
        await eventually(lambda: not store.seen_files("importer"))
        disk.write("inbox/a.json", "another")
        await eventually(lambda: len(started(store)) == 2)
    assert started(store) == [("created", "inbox/a.json"), ("created", "inbox/a.json")]


async def test_what_leads_out_of_the_project_is_told_and_left_alone(
    disk: Any, store: Any, tmp_path: Path, part: FileWatch, deployed: Deployed, running: Any, eventually: Any, caplog: Any
) -> None:
    deployed.deploy(loop("{file: 'inbox/**'}", "{file: 'way-out/*'}"))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.json").write_text("s3cret")
    disk.write("inbox/good.json", "1")
    disk.write("docs/page.json", "1")
    (disk.root / "inbox/bad.json").symlink_to(tmp_path / "secret/key.json")
    (disk.root / "inbox/folder").symlink_to(tmp_path / "secret")
    (disk.root / "way-out").symlink_to(tmp_path / "secret")
    (disk.root / "inbox/docs").symlink_to("../docs")
    (disk.root / "inbox/circle").symlink_to("../inbox")
    async with running(part):
        await eventually(lambda: len(started(store)) == 2)
        await eventually(lambda: len(caplog.records) == 3)
    assert sorted(started(store)) == [("created", "inbox/docs/page.json"), ("created", "inbox/good.json")]
    said = sorted(record.getMessage() for record in caplog.records)
    why = "triggers nothing: it is a link that leads out of the project"
    assert said == [f"file 'inbox/bad.json' {why}", f"file 'inbox/folder' {why}", f"file 'way-out' {why}"]


async def test_a_file_that_cannot_be_read_is_told_once_and_taken_when_it_can_be(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentctl.service.disk import files, folders

    tries = 0

    def digest(path: Path, abandoned: Callable[[], bool]) -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise PermissionError(13, "Permission denied", str(path))
        return folders.digest(path, abandoned)

    monkeypatch.setattr(files, "digest", digest)
    disk.write("inbox/a.json", "1")
    async with running(part):
        await eventually(lambda: started(store))
    assert [record.getMessage() for record in caplog.records] == ["file 'inbox/a.json' triggers nothing: Permission denied"]


async def test_what_is_no_file_or_has_no_printable_name_is_left_alone(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any, caplog: Any
) -> None:
    disk.write("inbox/good.json", "1")
    (disk.root / "inbox/folder.json").mkdir()
    os.mkfifo(disk.root / "inbox/pipe.json")
    (disk.root / "inbox/nowhere.json").symlink_to("nothing")
    disk.write("inbox/two\nlines.json", "1")
    (Path(os.fsdecode(os.fsencode(disk.root) + b"/inbox/\xff.json"))).write_text("1")
    async with running(part):
        await eventually(lambda: started(store))
    assert started(store) == [("created", "inbox/good.json")]
    assert sorted(record.getMessage() for record in caplog.records) == [
        "file 'inbox/\\udcff.json' triggers nothing: its name has characters that cannot be printed",
        "file 'inbox/nowhere.json' triggers nothing: No such file or directory",
        "file 'inbox/two\\nlines.json' triggers nothing: its name has characters that cannot be printed",
    ]


async def test_a_wait_may_be_for_a_file(disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any) -> None:
    from agentctl.core.events import RunCreated, RunStarted
    from agentctl.ports import Append, NewRun, Progress

    await store.create([NewRun(created=RunCreated(at=1.0, run_id="r1", name="demo", kind="loop", version="v1"))])
    [lease] = await store.acquire(["r1"])
    progress = Progress(status="waiting", started_at=2.0, finished_at=None, steps_done=0, steps_total=1)
    wait = OpenWait(path="file", kind="event", at=2.0, name="agentctl.file.*")
    await store.append(Append(lease=lease, head=1, events=[RunStarted(at=2.0)], progress=progress, waits=[wait]))
    async with running(part):
        disk.write("inbox/a.json", "1")
        await eventually(lambda: store.mail(["r1"]))
    [offer] = store.mail(["r1"])
    assert offer.event.event["data"]["path"] == "inbox/a.json"


async def test_to_stop_does_not_wait_for_a_large_file_to_be_read(
    disk: Any, store: Any, part: FileWatch, running: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentctl.service.disk import folders

    monkeypatch.setattr(folders, "_CHUNK", 1)
    with disk.write("inbox/huge.json", "").open("wb") as stream:
        stream.truncate(1 << 40)
    async with running(part):
        await eventually(lambda: part._still_since)
        await asyncio.sleep(0.1)
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 10)
    assert started(store) == []
