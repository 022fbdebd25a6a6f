"""bertd.run.atomic_files: the old content or the new, never half."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from bertd.errors import StorageError
from bertd.run.atomic_files import atomic_write
from bertd.run.paths import TEMPORARY_PREFIX


def _leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(TEMPORARY_PREFIX)]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    atomic_write(path, "old and longer")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert _leftovers(tmp_path) == []


def test_the_content_is_synced_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        order.append("sync the file" if name.startswith(TEMPORARY_PREFIX) else f"sync {name}")
        real_fsync(fd)

    def rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    atomic_write(tmp_path / "ledger.json", "{}")
    assert order == ["sync the file", "rename", f"sync {tmp_path.name}"]


def test_a_full_disk_leaves_the_old_content_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.json"
    atomic_write(path, "old")

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"ledger\.json: cannot write: No space left on device; free space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert _leftovers(tmp_path) == []


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        atomic_write(tmp_path / "file" / "ledger.json", "{}")


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        atomic_write(tmp_path / "absent" / "ledger.json", "{}")


def test_a_planted_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    name = f"{TEMPORARY_PREFIX}ledger.json-{os.uname().nodename[:32]}-{os.getpid()}-{threading.get_native_id()}"
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(StorageError):
        atomic_write(tmp_path / "ledger.json", "new")
    assert victim.read_text() == "precious"


def test_threads_that_write_the_same_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    contents = [str(number) * 20_000 for number in range(8)]
    failures: list[BaseException] = []

    def write(content: str) -> None:
        try:
            for _ in range(10):
                atomic_write(path, content)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert path.read_text() in contents
