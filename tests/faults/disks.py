"""Small file systems for one test, broken on purpose and removed after it. Needs root."""

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
"""mkfs.xfs refuses less than 300 MB."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


def need_root() -> None:
    """Skip the test if mounting is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")


@contextmanager
def small_disk(place: Path, *, size_bytes: int) -> Iterator[Path]:
    """A tmpfs of this size, mounted at `place`."""
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
    """Fill the disk; return the file that fills it, for the caller to delete."""
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
        """Cut the power: from here on nothing reaches the disk, and unflushed data is lost."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def power_on(self) -> None:
        """Mount again, as after a reboot."""
        # An error here must not skip the test: a test that keeps a file open would check nothing.
        subprocess.run(["umount", str(self.root)], check=True)
        self._mount()

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)
        self._image.unlink()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.root))
