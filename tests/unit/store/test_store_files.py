"""Files below the store's folder are opened without following links, and each store of a folder has its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agentctl.core.events import CancelRequested, RunFinished
from agentctl.errors import StoreBusy, StoreError, StoreFull
from agentctl.ports import NewRun, Progress, Reply
from agentctl.store.db.reserve import SIZE, Reserve
from agentctl.store.ledger import open_store
from agentctl.store.runs.executors import Executor

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
NOBODY = 65534


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that is nobody's business."""
    file = tmp_path / "target"
    file.write_text("keep me")
    return file


def test_a_link_in_the_place_of_the_writers_lock_is_not_followed(path: Path, target: Path) -> None:
    path.parent.mkdir()
    path.with_name("agentctl.db.lock").symlink_to(target)
    with pytest.raises(StoreError, match="it is a link"):
        open_store(path)
    assert target.read_text() == "keep me"


def test_a_link_in_the_place_of_the_lock_of_serve_is_not_followed(path: Path, target: Path) -> None:
    store = open_store(path)
    path.with_name("agentctl.db.serve.lock").symlink_to(target)
    with pytest.raises(StoreError, match="it is a link"):
        store.serve()
    store.close()
    assert target.read_text() == "keep me"


@pytest.mark.parametrize("name", ["executors", "payloads", "logs"])
def test_a_folder_that_is_a_link_is_not_entered(path: Path, tmp_path: Path, new_run: Callable[..., NewRun], name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store = open_store(path)
    (path.parent / name).symlink_to(elsewhere)

    async def use() -> None:
        await store.create([new_run("r1")])
        store.log_path("r1")
        store.payload(b"x")
        await store.acquire(["r1"])

    with pytest.raises((StoreError, OSError), match="a folder was expected"):
        asyncio.run(use())
    store.close()
    assert list(elsewhere.iterdir()) == []


def test_a_fifo_is_refused_rather_than_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path.with_name("agentctl.db.lock"))
    with pytest.raises(StoreError, match="no regular file"):
        open_store(path)


def test_nothing_is_written_to_a_file_that_lies_among_the_pipes(path: Path, target: Path, new_run: Callable[..., NewRun]) -> None:
    store = open_store(path)
    wake = path.parent / "wake"
    wake.mkdir()
    (wake / "link").symlink_to(target)
    (wake / "file").write_text("not a pipe")
    asyncio.run(_create(store, new_run("r1")))
    store.close()
    assert target.read_text() == "keep me"
    assert (wake / "file").read_text() == "not a pipe"


async def _create(store: Any, run: NewRun) -> None:
    await store.create([run])


def test_two_stores_of_one_folder_are_served_side_by_side(path: Path) -> None:
    one, two = open_store(path), open_store(path.with_name("other.db"))
    one.serve()
    assert (one.serving(), two.serving()) == (os.getpid(), None)
    two.serve()
    assert two.serving() == os.getpid()
    with pytest.raises(StoreBusy):
        open_store(path).serve()
    one.close()
    two.close()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@as_root
def test_root_does_not_write_to_the_store_of_another_user_but_reads_it(path: Path) -> None:
    open_store(path).close()
    for file in (path.parent, *path.parent.rglob("*")):
        os.chown(file, NOBODY, NOBODY)
    with pytest.raises(StoreError, match="belongs to user nobody, and root does not write to it"):
        open_store(path)
    open_store(path, read_only=True).close()


@as_root
def test_whether_an_executor_of_another_user_lives_can_be_told(shared: Path) -> None:
    folder = shared / "executors"
    executor = Executor(folder, shared / "serve.lock")
    executor.start()
    folder.chmod(0o755)
    assert _alive_for_nobody(folder, executor.id) == "True"
    os.close(executor.lock_descriptor or -1)  # as when its process is killed
    assert _alive_for_nobody(folder, executor.id) == "False"


def _alive_for_nobody(folder: Path, owner: str) -> str:
    source = (
        "import encodings.ascii, os, sys; from pathlib import Path; from agentctl.store.runs.executors import Liveness;"
        f"os.setgid({NOBODY}); os.setuid({NOBODY});"
        "print(Liveness(Path(sys.argv[1]), Path(sys.argv[1]) / 'none').alive(sys.argv[2]))"
    )
    found = subprocess.run([sys.executable, "-c", source, str(folder), owner], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A store on a file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place / "agentctl.db"
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("ab", buffering=0) as filler:
        for size in (65_536, 512):
            try:
                while filler.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def test_a_run_can_be_cancelled_when_the_disk_is_full(small_disk: Path, new_run: Callable[..., NewRun], append: Any) -> None:
    store = open_store(small_disk)

    async def scenario() -> None:
        await store.create([new_run("r1")])
        [lease] = await store.acquire(["r1"])
        await store.append(append(lease, 1))
        fill(small_disk.parent)
        with pytest.raises(StoreFull):
            await store.create([new_run(f"more-{number}", input={"text": "x" * 1000}) for number in range(200)])
        await store.post([Reply("r1", CancelRequested(at=3.0))])
        [mail] = store.mail(["r1"])
        fill(small_disk.parent)  # whatever fills the disk takes what was freed, too
        end = (CancelRequested(at=3.0), RunFinished(at=4.0, status="cancelled"))
        progress = Progress(status="cancelled", started_at=2.0, finished_at=4.0, steps_done=0, steps_total=1)
        ended = structs.replace(append(lease, 2, *end), progress=progress, consumed=[mail.id], release=True)
        await store.append(ended)

    asyncio.run(scenario())
    assert store.run("r1").status == "cancelled"  # type: ignore[union-attr]
    store.close()


def test_the_reserve_is_made_again_when_there_is_room(small_disk: Path) -> None:
    reserve = Reserve(small_disk.with_name("reserve"))
    reserve.fill()
    fill(small_disk.parent)
    assert reserve.give_back()
    assert reserve.give_back()
    assert not reserve.give_back()
    fill(small_disk.parent)
    reserve.fill()
    assert small_disk.with_name("reserve").stat().st_size == 0
    (small_disk.parent / "filler").unlink()
    reserve.fill()
    assert small_disk.with_name("reserve").stat().st_size == SIZE
