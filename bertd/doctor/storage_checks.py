"""Checks of the state folder: who may change it, on what it lies, its room and its speed."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bertd.records import Finding, Severity
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_bytes
from bertd.run.machine.disk_space import DiskNeed, estimate_disk_need, estimate_num_parameters
from bertd.run.machine.trusted_folders import find_intruder_risk
from bertd.run.recipe.load import find_recipe, read_recipe

_PROBE_BYTES = 128 << 20
_CHUNK_BYTES = 4 << 20
_NUM_SYNCS = 10
_SLOW_SAVE_S = 60.0
"""A save runs beside training, and the next waits for it; one a minute long may also delay a pause by as much."""
_SLOW_SYNC_S = 0.1
"""The ledger is synced every second."""
_MIN_FREE_INODES = 10_000
_VOLATILE = ("tmpfs", "ramfs")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "9p", "glusterfs", "lustre", "ceph", "beegfs", "afs")
_REFERENCE_RECIPE = "24hbert"
_REFERENCE_VOCABULARY = 30_522
"""Of bert-base-uncased."""


def check_storage(state_dir: Path) -> Iterator[Finding]:
    """All checks of the state folder; of the folder that it would be made in, where it is not there."""
    folder = next((path for path in (state_dir, *state_dir.parents) if path.is_dir()), Path("/"))
    yield _check_access(state_dir, folder)
    yield _check_file_system(folder, _file_system_of(folder))
    yield _check_room(folder, free_bytes=shutil.disk_usage(folder).free)
    yield from _check_inodes(folder)
    if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 4 * _PROBE_BYTES:
        yield from _check_speed(folder)


def _check_access(state_dir: Path, folder: Path) -> Finding:
    risk = find_intruder_risk(folder)
    if risk is not None:
        return Finding(
            check="state folder",
            severity=Severity.FAULT,
            text=f"{folder} is not safe: {risk}",
            remedy="or choose another with --state-dir or $BERTD_STATE",
            cost="the daemon does not start",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            check="state folder",
            severity=Severity.NOTE,
            text=f"{folder} is not yours to write, so its disk's speed was not measured",
            remedy="run bertd doctor as the daemon's user",
        )
    there = "" if folder == state_dir else f", in which {state_dir} will be made,"
    return Finding(check="state folder", severity=Severity.OK, text=f"{folder}{there} may be written by its user alone")


def _file_system_of(folder: Path) -> str:
    """The type of the file system, such as ext4; empty if it is not known."""
    resolved = folder.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if resolved.is_relative_to(mount.mountpoint)]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


def _check_file_system(folder: Path, file_system: str) -> Finding:
    if file_system in _VOLATILE:
        return Finding(
            check="file system",
            severity=Severity.FAULT,
            text=f"{folder} is on a {file_system}",
            remedy="choose a folder on a disk with --state-dir or $BERTD_STATE",
            cost="queue, checkpoints and exports are lost when the machine restarts",
        )
    if file_system in _NETWORK or file_system.startswith("fuse."):
        return Finding(
            check="file system",
            severity=Severity.SLOW,
            text=f"{folder} is on a network file system ({file_system})",
            remedy="choose a folder on a local disk, and copy exports to the network",
            cost="each save waits for the network, and a server that hangs stops the daemon",
        )
    return Finding(check="file system", severity=Severity.OK, text=f"{folder} is on {file_system or 'a disk'}")


def _check_room(folder: Path, *, free_bytes: int) -> Finding:
    needed_bytes = _reference_need().total_bytes
    if free_bytes < needed_bytes:
        return Finding(
            check="disk space",
            severity=Severity.NOTE,
            text=f"{format_bytes(free_bytes)} free; {_REFERENCE_RECIPE} keeps up to {format_bytes(needed_bytes)}",
            remedy="free space, or --set checkpoint.keep=1; smaller models need less",
            cost="a run that does not fit is refused when it is submitted",
        )
    return Finding(check="disk space", severity=Severity.OK, text=f"{format_bytes(free_bytes)} free at {folder}")


def _check_inodes(folder: Path) -> Iterator[Finding]:
    free = os.statvfs(folder)
    # File systems that make inodes as they are needed have a total of 0.
    if free.f_files and free.f_favail < _MIN_FREE_INODES:
        yield Finding(
            check="inodes",
            severity=Severity.FAULT,
            text=f"{folder}: only {free.f_favail:,} files can be made",
            remedy="delete small files",
            cost="checkpoints are refused although there is space",
        )


def _check_speed(folder: Path) -> Iterator[Finding]:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            yield _judge_write_speed(_measure_write(file.fileno()))
            yield _judge_sync(_measure_sync(file.fileno()))
    except OSError as error:
        yield Finding(
            check="disk speed",
            severity=Severity.FAULT,
            text=f"{folder}: cannot write: {error.strerror}",
            remedy="free space, or check the disk (dmesg)",
        )


def _measure_write(fd: int) -> float:
    """Bytes per second of large writes with their sync."""
    chunk = os.urandom(_CHUNK_BYTES)  # Not zeros, which some file systems do not store.
    begin = time.monotonic()
    for _ in range(_PROBE_BYTES // _CHUNK_BYTES):
        os.write(fd, chunk)
    os.fsync(fd)
    return _PROBE_BYTES / (time.monotonic() - begin)


def _measure_sync(fd: int) -> float:
    """Median seconds of a small write with its sync."""
    times = []
    for _ in range(_NUM_SYNCS):
        begin = time.monotonic()
        os.write(fd, b"x" * 128)
        os.fsync(fd)
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def _judge_write_speed(bytes_per_s: float) -> Finding:
    save_s = _reference_need().checkpoint_bytes / bytes_per_s
    text = f"{format_bytes(bytes_per_s)}/s written; a checkpoint of {_REFERENCE_RECIPE} takes {format_duration(save_s)}"
    if save_s <= _SLOW_SAVE_S:
        return Finding(check="disk speed", severity=Severity.OK, text=text)
    return Finding(
        check="disk speed",
        severity=Severity.SLOW,
        text=text,
        remedy="choose a faster disk with --state-dir, or a longer [checkpoint] interval",
        cost="a pause waits for its save, and saves may not keep up with their interval",
    )


def _judge_sync(sync_s: float) -> Finding:
    text = f"a small write with its sync takes {sync_s * 1e3:.1f} ms"
    if sync_s <= _SLOW_SYNC_S:
        return Finding(check="disk sync", severity=Severity.OK, text=text)
    return Finding(
        check="disk sync",
        severity=Severity.SLOW,
        text=text,
        remedy="choose another disk with --state-dir; see who else writes with iotop",
        cost="commands to the daemon wait for it",
    )


def _reference_need() -> DiskNeed:
    recipe = read_recipe(find_recipe(_REFERENCE_RECIPE))
    num_parameters = estimate_num_parameters(recipe, vocab_size=_REFERENCE_VOCABULARY)
    return estimate_disk_need(recipe.checkpoint, num_parameters=num_parameters)
