"""Parts to a data set: decides over all documents at once, then writes the splits part by part.

First pass: the hash of every document tells the split it belongs to and which documents repeat an earlier one. Second
pass: each part's tokens are copied to the splits under those decisions. Memory holds a few bytes a document (its fate),
one bucket of hashes, and one part.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np
import numpy.typing as npt

from bertd.data.buckets import buckets
from bertd.data.manifest import FileFacts, Filters, SplitCounts, SplitName
from bertd.data.near import near_duplicates
from bertd.data.parts import PartFile, part_path
from bertd.data.quality import SourceTally
from bertd.data.readers.document import SkipReason
from bertd.data.sampler import HashArray
from bertd.data.shards import OFFSET, split_files
from bertd.errors import CorpusError

Mask = npt.NDArray[np.bool_]


class Fate(IntEnum):
    """What becomes of a document."""

    TRAIN = 0
    VALIDATION = 1
    DUPLICATE = 2
    NEAR_DUPLICATE = 3
    SURPLUS = 4


Fates = npt.NDArray[np.uint8]
"""Of each document, in the order of the parts."""

_REASONS = {
    Fate.DUPLICATE: SkipReason.DUPLICATE,
    Fate.NEAR_DUPLICATE: SkipReason.NEAR_DUPLICATE,
    Fate.SURPLUS: SkipReason.SURPLUS,
}


def _hashes(folder: Path, *, num_parts: int) -> Iterator[HashArray]:
    for number in range(num_parts):
        yield PartFile(part_path(folder, number)).array("hashes").astype(np.uint64)


def decide(folder: Path, *, num_parts: int, filters: Filters, validation_share: float) -> Fates:
    """Which documents stay, and in which split.

    A document belongs to validation if its hash is among the lowest `validation_share` of all possible ones: adding a
    source moves no other document. If none is that low, the lowest of all is taken, so that there is something to
    validate on.

    Raises:
        CorpusError: no document is left.
    """
    num_documents = sum(len(hashes) for hashes in _hashes(folder, num_parts=num_parts))
    fates: Fates = np.full(num_documents, Fate.TRAIN, dtype=np.uint8)
    if filters.dedup != "none":
        for bucket in buckets(partial(_hashes, folder, num_parts=num_parts), num_documents=num_documents):
            fates[bucket.documents[repeats(bucket.hashes)]] = Fate.DUPLICATE
    if filters.dedup == "near":
        stays, scratch = fates == Fate.TRAIN, folder / "all-signatures"
        near = near_duplicates(
            folder, num_parts=num_parts, stays=stays, threshold=filters.near_threshold, scratch=scratch
        )
        fates[near] = Fate.NEAR_DUPLICATE
    _settle(fates, _hashes(folder, num_parts=num_parts), filters=filters, share=validation_share)
    if not (fates <= Fate.VALIDATION).any():
        raise CorpusError("the sources hold no text that the filters let pass; name other sources or loosen them")
    return fates


def _settle(fates: Fates, parts: Iterator[HashArray], *, filters: Filters, share: float) -> None:
    """Choose what is beyond the most documents wanted, and what is for validation, part by part."""
    room = len(fates) if filters.max_documents is None else filters.max_documents
    num_kept = first = num_chosen = lowest_document = 0
    lowest: int | None = None
    for hashes in parts:
        mine = fates[first : first + len(hashes)]
        mine[(mine == Fate.TRAIN) & (num_kept + np.cumsum(mine == Fate.TRAIN) > room)] = Fate.SURPLUS
        kept = np.flatnonzero(mine == Fate.TRAIN)
        chosen = kept[in_validation(hashes[kept], share=share)]
        if len(kept) and (lowest is None or hashes[kept].min() < lowest):
            lowest, lowest_document = int(hashes[kept].min()), first + int(kept[np.argmin(hashes[kept])])
        mine[chosen] = Fate.VALIDATION
        num_chosen += len(chosen)
        num_kept += len(kept)
        first += len(hashes)
    if share and not num_chosen and num_kept > 1:
        fates[lowest_document] = Fate.VALIDATION


def repeats(hashes: HashArray) -> Mask:
    """Which entries equal an earlier one."""
    _, first = np.unique(hashes, return_index=True)
    again = np.ones(len(hashes), dtype=np.bool_)
    again[first] = False
    return again


def in_validation(hashes: HashArray, *, share: float) -> Mask:
    """Which documents the hash puts into validation."""
    # The top 53 bits, since a float holds no more.
    return (hashes >> np.uint64(11)).astype(np.float64) < share * 2.0**53


class _HashedFile:
    """A file that is hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, array: npt.NDArray[np.generic]) -> None:
        content = array.tobytes()
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)

    def close(self) -> FileFacts:
        """Bring it to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return FileFacts(size=self._size, sha256=self._digest.hexdigest())


@dataclass
class SplitWriter:
    """Writes the three files of a split."""

    folder: Path
    split: SplitName
    counts: SplitCounts = field(default_factory=SplitCounts)

    def __post_init__(self) -> None:
        self._tokens, self._documents, self._sentences = (
            _HashedFile(self.folder / name) for name in split_files(self.split)
        )

    def append(self, part: PartFile, *, keep: Mask) -> None:
        """Copy the documents of a part that belong here."""
        lengths, per_document = part.array("document_lengths"), part.array("document_sentences")
        sentence_lengths = part.array("sentence_lengths")[np.repeat(keep, per_document)]
        self._tokens.write(part.array("tokens")[np.repeat(keep, lengths)])
        kept = lengths[keep]
        begin = self.counts.stream_tokens
        self._documents.write((begin + np.cumsum(kept) - kept).astype(OFFSET))
        self._sentences.write((begin + np.cumsum(sentence_lengths) - sentence_lengths).astype(OFFSET))
        self.counts = SplitCounts(
            documents=self.counts.documents + len(kept),
            sentences=self.counts.sentences + len(sentence_lengths),
            tokens=self.counts.tokens + int(kept.sum()) - len(kept),
        )

    def close(self) -> dict[str, FileFacts]:
        """End the offsets with the stream's length."""
        end = np.array([self.counts.stream_tokens], dtype=OFFSET)
        self._documents.write(end)
        self._sentences.write(end)
        files = (self._tokens, self._documents, self._sentences)
        return {name: file.close() for name, file in zip(split_files(self.split), files, strict=True)}


@dataclass(frozen=True)
class WrittenSplits:
    counts: dict[SplitName, SplitCounts]
    files: dict[str, FileFacts]
    sources: dict[int, SourceTally]
    """What was kept, by source."""
    skipped: dict[int, Counter[str]]
    """Documents that were left out here, by source and reason."""


def write_splits(folder: Path, *, parts: Path, num_parts: int, fates: Fates) -> WrittenSplits:
    """Write the files of both splits into `folder`."""
    names: tuple[SplitName, ...] = get_args(SplitName)
    wanted = dict(zip(names, (Fate.TRAIN, Fate.VALIDATION), strict=True))
    writers = {name: SplitWriter(folder, name) for name in names}
    tallies: dict[int, SourceTally] = {}
    skipped: dict[int, Counter[str]] = {}
    first = 0
    for number in range(num_parts):
        part = PartFile(part_path(parts, number))
        sources = part.array("sources")
        mine = fates[first : first + len(sources)]
        first += len(sources)
        for name, writer in writers.items():
            writer.append(part, keep=mine == wanted[name])
        for source in np.unique(sources).tolist():
            tallies.setdefault(source, SourceTally()).add(part, keep=(mine <= Fate.VALIDATION) & (sources == source))
            for fate, times in zip(*np.unique(mine[sources == source], return_counts=True), strict=True):
                if reason := _REASONS.get(Fate(int(fate))):
                    skipped.setdefault(source, Counter())[reason.value] += int(times)
    files = {name: facts for writer in writers.values() for name, facts in writer.close().items()}
    counts = {name: writer.counts for name, writer in writers.items()}
    return WrittenSplits(counts=counts, files=files, sources=tallies, skipped=skipped)
