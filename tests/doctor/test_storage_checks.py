"""The state folder's checks, on real folders and on stand-ins for the disks that a test cannot have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bertd.doctor import storage_checks
from bertd.doctor.storage_checks import check_storage
from bertd.records import Finding, Severity


@pytest.fixture(autouse=True)
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_checks, "_PROBE_BYTES", 1 << 20)
    monkeypatch.setattr(storage_checks, "_CHUNK_BYTES", 1 << 18)
    monkeypatch.setattr(storage_checks, "_file_system_of", lambda _: "ext4")


def _findings(folder: Path) -> dict[str, Finding]:
    return {each.check: each for each in check_storage(folder)}


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above_and_nothing_stays(tmp_path: Path) -> None:
    findings = _findings(tmp_path / "deep" / "state")
    assert "will be made" in findings["state folder"].text and findings["state folder"].severity is Severity.OK
    assert {"disk speed", "disk sync"} <= set(findings) and not list(tmp_path.iterdir())


def test_a_folder_that_everybody_may_change_is_a_fault(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    finding = _findings(tmp_path)["state folder"]
    assert finding.severity is Severity.FAULT and "every user may write there" in finding.text


@pytest.mark.parametrize(
    ("file_system", "severity"),
    [("tmpfs", Severity.FAULT), ("nfs4", Severity.SLOW), ("fuse.sshfs", Severity.SLOW), ("xfs", Severity.OK)],
)
def test_a_disk_in_memory_or_over_a_network_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_system: str, severity: Severity
) -> None:
    monkeypatch.setattr(storage_checks, "_file_system_of", lambda _: file_system)
    assert _findings(tmp_path)["file system"].severity is severity


def test_the_file_system_is_that_of_the_nearest_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    mounts = [
        SimpleNamespace(mountpoint=str(path), fstype=name) for path, name in ((Path("/"), "ext4"), (tmp_path, "nfs"))
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert storage_checks._file_system_of(tmp_path) == "nfs"
    assert storage_checks._file_system_of(tmp_path.parent) == "ext4"


def test_little_room_and_few_inodes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 30))
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 1, 1, 1, 1_000_000, 12, 12, 0, 255)))
    findings = _findings(tmp_path)
    assert findings["disk space"].severity is Severity.NOTE and "3.0 GiB free" in findings["disk space"].text
    assert findings["inodes"].severity is Severity.FAULT and "only 12 files" in findings["inodes"].text


def test_a_slow_disk_is_judged_by_what_a_checkpoint_takes() -> None:
    slow, fast = storage_checks._judge_write_speed(20 << 20), storage_checks._judge_write_speed(2 << 30)
    assert (slow.severity, fast.severity) == (Severity.SLOW, Severity.OK) and "a checkpoint of 24hbert" in slow.text
    assert storage_checks._judge_sync(0.5).severity is Severity.SLOW
    assert storage_checks._judge_sync(0.005).severity is Severity.OK


def test_a_disk_that_refuses_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    finding = _findings(tmp_path)["disk speed"]
    assert finding.severity is Severity.FAULT and "No space left on device" in finding.text
