"""Count the documents of finished parts, and find when there are enough for --max-documents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from bertd.data.prepare.parts.part_file import PartFacts, PartFile, part_path
from bertd.data.sources.readers.left_out import LeftOut
from bertd.run.dataset_manifest import Filters


class PartTally:
    """Counts that finished parts report, in any order."""

    def __init__(self, folder: Path, *, filters: Filters) -> None:
        self._folder = folder
        self._facts: dict[int, PartFacts] = {}
        # Near duplicates are known only at the end, so with them the limit cannot stop early.
        self._limit = None if filters.dedup == "near" else filters.max_documents
        self._keeps_repeats = filters.dedup == "none"
        self._sizes: list[int] = []
        self._next_check = self._limit or 0
        self.num_parts_needed: int | None = None
        """Parts, from the first, that hold all needed documents; the same for any number of workers."""

    def add(self, number: int, facts: PartFacts) -> None:
        """Record a finished part."""
        self._facts[number] = facts
        if self._limit is None:
            return
        while self.num_parts_needed is None and len(self._sizes) in self._facts:
            self._sizes.append(len(PartFile(part_path(self._folder, len(self._sizes))).array("hashes")))
            if sum(self._sizes) >= self._next_check:
                self._check_limit(self._limit)

    def _check_limit(self, limit: int) -> None:
        """Count the documents of the first parts; if repeats leave too few, count again when there may be enough."""
        kept = sum(self._sizes)
        if not self._keeps_repeats:
            hashes = [PartFile(part_path(self._folder, number)).array("hashes") for number in range(len(self._sizes))]
            kept = len(np.unique(np.concatenate(hashes)))
        if kept >= limit:
            self.num_parts_needed = len(self._sizes)
        self._next_check = sum(self._sizes) + limit - kept

    def read(self, *, num_parts: int) -> Counter[int]:
        """Documents read in the first parts, by source."""
        read: Counter[int] = Counter()
        for number in range(num_parts):
            read.update(self._facts[number].read)
        return read

    def skipped(self, *, num_parts: int) -> dict[int, Counter[str]]:
        """Documents that the workers left out in the first parts, by source and reason."""
        skipped: dict[int, Counter[str]] = {}
        for number in range(num_parts):
            for source, counts in self._facts[number].skipped.items():
                skipped.setdefault(source, Counter()).update(counts)
        return skipped

    def read_characters(self, *, num_parts: int) -> Counter[int]:
        """Characters read in the first parts, by source."""
        read: Counter[int] = Counter()
        for number in range(num_parts):
            read.update(self._facts[number].read_characters)
        return read

    def left_out(self, *, num_parts: int) -> dict[int, LeftOut]:
        """Characters that the readers and the workers left out in the first parts, by source."""
        left_out: dict[int, LeftOut] = {}
        for number in range(num_parts):
            for source, record in self._facts[number].left_out.items():
                left_out.setdefault(source, LeftOut()).update(LeftOut.from_record(record))
        return left_out
