"""Where a store lives: its folder, the files beside the database, and the checks before the first is touched.

<folder>/<name>              the database             <folder>/executors/<id>    one locked file per living executor
<folder>/<name>.lock         the writers' lock        <folder>/payloads/<hash>   large outputs
<folder>/<name>.serve.lock   locked by `serve`        <folder>/logs/<run>.jsonl  the log of a run
<folder>/<name>.reserve      room for a full disk     <folder>/wake/<id>         a pipe per listener
<folder>/<name>.token        of the HTTP interface    <folder>/project.json      agentctl.yaml, read

Executors, payloads, logs and pipes have names that are unique, so two stores in one folder may share these folders.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from urllib.parse import quote

from agentctl.errors import StoreError, StoreMissing
from agentctl.store.db.failures import from_system
from agentctl.store.db.files import private_folder, sync_folder

# flock and SQLite's shared memory do not work, or lie, across machines: two hosts would both believe to be alone.
NETWORK = {"nfs", "nfs4", "smb3", "smbfs", "cifs", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}


class StoreLocation:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.folder = self.path.parent
        self.lock = self.path.with_name(self.path.name + ".lock")
        self.executors = self.folder / "executors"
        self.serve = self.path.with_name(self.path.name + ".serve.lock")
        self.reserve = self.path.with_name(self.path.name + ".reserve")
        self.wake = self.folder / "wake"
        self.payloads = self.folder / "payloads"
        self.logs = self.folder / "logs"

    def check(self, *, read_only: bool) -> None:
        """Raise StoreError for a place that can hold no store, in words rather than SQLite's codes."""
        try:
            self._check(read_only=read_only)
        except OSError as error:  # a folder above it that may not be looked into
            raise from_system(error, self.path) from error

    def _check(self, *, read_only: bool) -> None:
        if self.path.is_dir():
            raise StoreError(f"the store {self.path} is a folder; a file was expected")
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"the store {self.path} cannot be: {self.folder} is a file; a folder was expected")
        kind = file_system_type(self.folder)
        if kind in NETWORK:
            raise StoreError(f"the store {self.path} lies on a network file system ({kind}); it needs a local disk")
        if read_only:
            if not self.path.exists():
                raise StoreError(f"there is no store at {self.path}")
            return
        self._refuse_root()
        if self.path.exists() and not os.access(self.path, os.W_OK):
            raise StoreError(f"the store {self.path} is read-only")
        if self.folder.exists() and not os.access(self.folder, os.W_OK | os.X_OK):
            raise StoreError(f"the folder of the store {self.path} is read-only")

    def _refuse_root(self) -> None:
        """What root made in another user's store, that user could not open any more; and links there could lead root anywhere."""
        place = next((place for place in (self.path, self.folder) if place.exists()), None)
        if os.geteuid() != 0 or place is None:
            return
        owner = place.stat().st_uid
        if owner != 0:
            name = _user_name(owner)
            raise StoreError(
                f"the store {self.path} belongs to user {name}, and root does not write to it; work as that user:"
                f" sudo -u {name} agentctl ..."
            )

    def create(self) -> None:
        """Make the folder (0700) and an empty database file (0600) where missing, whatever the umask.

        SQLite gives -wal and -shm the mode of the database. A folder that somebody else made keeps its mode. The file is
        opened only when it is new: closing any descriptor of a database drops the locks that SQLite holds on it.
        """
        try:
            if not self.folder.is_dir() and private_folder(self.folder):
                sync_folder(self.folder.parent)
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
                os.fchmod(descriptor, 0o600)
                os.close(descriptor)
        except OSError as error:
            raise from_system(error, self.path) from error

    def identity(self) -> tuple[int, int]:
        """Which file the database is, whatever its name. Raises StoreMissing when there is none."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise StoreMissing(f"the store {self.path} was removed while it was in use") from None
        return found.st_dev, found.st_ino

    def log_path(self, run_id: str) -> Path:
        """The log of a run; an id can name no file outside the folder of logs."""
        return self.logs / f"{quote(run_id, safe='')}.jsonl"


def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"


def file_system_type(folder: Path) -> str | None:
    """The type of the file system that holds `folder` (or its nearest parent that exists); None where it is not known."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        return mount_type(mounts, os.path.realpath(folder))
    except OSError:
        return None


def mount_type(mounts: str, folder: str) -> str | None:
    """The type of the longest mount point above `folder` in a text like /proc/mounts; of equals the last, which covers."""
    best, kind = "", None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
