"""File systems for a test alone: small, broken on purpose, and gone with it. Root makes them."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32). Source: fs/ext4/ext4.h, fs/xfs/libxfs/xfs_fs.h."""
_NO_LOG_FLUSH = 2
_IMAGE_BYTES = {"ext4": 32 << 20, "xfs": 320 << 20}
"""XFS refuses to be made smaller than 300 MB."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


def need_root() -> None:
    """Skip where nothing may be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")


@contextmanager
def small_disk(place: Path, *, size_bytes: int) -> Iterator[Path]:
    """A tmpfs of that size, mounted at `place`."""
    need_root()
    place.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "bertd-test", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def make_read_only(place: Path, *, is_read_only: bool) -> None:
    """Remount a small disk."""
    _run("mount", "-o", f"remount,{'ro' if is_read_only else 'rw'}", str(place))


def fill(place: Path) -> Path:
    """Leave no byte free; the file that took them, to be deleted."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            pass
    return ballast


class LoopDisk:
    """A file system in a file, whose power can be cut."""

    def __init__(self, folder: Path, kind: str) -> None:
        """Make and mount it."""
        need_root()
        if shutil.which(f"mkfs.{kind}") is None:
            pytest.skip(f"mkfs.{kind} is not installed")
        self._image, self.root = folder / f"{kind}.img", folder / kind
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_BYTES[kind])
        _run(f"mkfs.{kind}", "-q", "-f" if kind == "xfs" else "-F", str(self._image))
        self._mount()

    def cut_power(self) -> None:
        """From here on nothing reaches the disk, and what was not flushed never will."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def power_on(self) -> None:
        """What a reboot finds."""
        # Not a reason to skip: a test that keeps a file open has looked at nothing yet.
        subprocess.run(["umount", str(self.root)], check=True)
        self._mount()

    def close(self) -> None:
        """Take it down."""
        subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)
        self._image.unlink()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.root))
