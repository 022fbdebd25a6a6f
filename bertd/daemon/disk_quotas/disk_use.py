"""Measure what the state folder and each run take on the disk.

To look at every file once a minute would cost more than all else that an idle daemon does. So what was measured of a
folder stays valid until one of its jobs has run, and for at most an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bertd.run.disk_quota import size_on_disk
from bertd.run.paths import StatePaths

MEASURE_ALL_EVERY_S = 3600.0


@dataclass(frozen=True)
class DiskUse:
    """What was measured last."""

    t: float
    total_bytes: int
    """Of the state folder."""
    by_run: Mapping[str, int]
    """By run id: its folder, with exports and finetunings."""

    def without(self, freed: Mapping[str, int]) -> DiskUse:
        """After so much of these runs was deleted."""
        by_run = {run: size - freed.get(run, 0) for run, size in self.by_run.items()}
        return DiskUse(self.t, self.total_bytes - sum(freed.values()), by_run)


class DiskUseMeter:
    """Measures; one call at a time, in any thread."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._groups = (
            paths.runs,
            paths.foreign_finetune(0).root.parent,
            paths.command(0).root.parent,
            paths.sweep("x").root.parent,
        )
        """Folders with a folder for each run, finetuning, command and sweep."""
        self._sizes: dict[Path, int] = {}
        self._measured_all_t: float | None = None

    def measure(self, changed: Collection[Path], *, now: float) -> DiskUse:
        """Measure.

        Args:
            changed: folders of jobs that may have written since the last call.
            now: seconds since the epoch.
        """
        last = self._measured_all_t
        if last is None or not 0 <= now - last < MEASURE_ALL_EVERY_S:
            self._sizes.clear()
            self._measured_all_t = now
        for folder in changed:
            # A finetuning's folder is in its run's.
            for each in (folder, *folder.parents):
                self._sizes.pop(each, None)
        entries = list(self._entries())
        self._sizes = {entry: self._sizes.get(entry) or size_on_disk(entry) for entry in entries}
        outside = sum(_size_of_file(entry) for entry in _children(self._paths.root))
        by_run = {entry.name: size for entry, size in self._sizes.items() if entry.parent == self._paths.runs}
        return DiskUse(now, outside + sum(self._sizes.values()), by_run)

    def _entries(self) -> Iterator[Path]:
        for child in _children(self._paths.root):
            if child in self._groups:
                yield from (entry for entry in _children(child) if entry.is_dir())
            elif child.is_dir():
                yield child


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size_of_file(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512 if not path.is_dir() else 0
    except OSError:
        return 0
