"""Parts to a data set: decides over all documents at once, then writes the splits part by part.

First pass: the hash of every document, 8 bytes each, tells the split it belongs to and which documents repeat an
earlier one. Second pass: each part's tokens are copied to the splits under those decisions. Memory grows by some 40
bytes a document and with nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np
import numpy.typing as npt

from bertd.data.manifest import FileFacts, Filters, SplitCounts, SplitName
from bertd.data.near import near_duplicates
from bertd.data.parts import PartFile, part_path
from bertd.data.readers.document import SkipReason
from bertd.data.sampler import HashArray, IndexArray
from bertd.data.shards import OFFSET, split_files
from bertd.errors import CorpusError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Decisions:
    """What becomes of each document, in the order of the parts."""

    validation: Mask
    train: Mask
    skipped: dict[int, Counter[str]]
    """Documents left out, by source and reason."""
    kept: dict[int, SplitCounts]
    """By source, over both splits."""


@dataclass
class _Documents:
    """Facts of every document."""

    hashes: HashArray
    lengths: IndexArray
    sentences: IndexArray
    sources: IndexArray


def _read_documents(folder: Path, *, num_parts: int) -> _Documents:
    names = ("document_lengths", "document_sentences", "sources")
    hashes: list[HashArray] = [np.empty(0, dtype=np.uint64)]
    columns: dict[str, list[IndexArray]] = {name: [np.empty(0, dtype=np.int64)] for name in names}
    for number in range(num_parts):
        part = PartFile(part_path(folder, number))
        hashes.append(part.array("hashes").astype(np.uint64))
        for name in names:
            columns[name].append(part.array(name))
    lengths, sentences, sources = (np.concatenate(columns[name]) for name in names)
    return _Documents(hashes=np.concatenate(hashes), lengths=lengths, sentences=sentences, sources=sources)


def decide(folder: Path, *, num_parts: int, filters: Filters, validation_share: float) -> Decisions:
    """Which documents stay, and in which split.

    A document belongs to validation if its hash is among the lowest `validation_share` of all possible ones: adding a
    source moves no other document. If none is that low, the lowest of all is taken, so that there is something to
    validate on.

    Raises:
        CorpusError: no document is left.
    """
    documents = _read_documents(folder, num_parts=num_parts)
    stays = np.ones(len(documents.hashes), dtype=np.bool_)
    skipped: dict[int, Counter[str]] = {}

    def leave_out(goes: Mask, reason: SkipReason) -> None:
        for source, times in zip(*np.unique(documents.sources[goes & stays], return_counts=True), strict=True):
            skipped.setdefault(int(source), Counter())[reason.value] += int(times)
        stays[goes] = False

    if filters.dedup != "none":
        leave_out(repeats(documents.hashes), SkipReason.DUPLICATE)
    if filters.dedup == "near":
        threshold, scratch = filters.near_threshold, folder / "all-signatures"
        near = near_duplicates(folder, num_parts=num_parts, stays=stays, threshold=threshold, scratch=scratch)
        leave_out(near, SkipReason.NEAR_DUPLICATE)
    if filters.max_documents is not None:
        leave_out(np.cumsum(stays) > filters.max_documents, SkipReason.SURPLUS)
    if not stays.any():
        raise CorpusError("the sources hold no text that the filters let pass; name other sources or loosen them")
    validation = stays & in_validation(documents.hashes, share=validation_share)
    if validation_share and not validation.any() and stays.sum() > 1:
        validation[np.flatnonzero(stays)[np.argmin(documents.hashes[stays])]] = True
    return Decisions(
        validation=validation, train=stays & ~validation, skipped=skipped, kept=_count_by_source(documents, stays)
    )


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


def _count_by_source(documents: _Documents, stays: Mask) -> dict[int, SplitCounts]:
    counts = {}
    for source in np.unique(documents.sources):
        mine = stays & (documents.sources == source)
        num_documents = int(mine.sum())
        counts[int(source)] = SplitCounts(
            documents=num_documents,
            sentences=int(documents.sentences[mine].sum()),
            tokens=int(documents.lengths[mine].sum()) - num_documents,
        )
    return counts


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


def write_splits(folder: Path, *, parts: Path, num_parts: int, decisions: Decisions) -> WrittenSplits:
    """Write the files of both splits into `folder`."""
    names: tuple[SplitName, ...] = get_args(SplitName)
    masks: dict[SplitName, Mask] = {"train": decisions.train, "validation": decisions.validation}
    writers = {name: SplitWriter(folder, name) for name in names}
    for part, first, last in _with_bounds(parts, num_parts=num_parts):
        for name, writer in writers.items():
            writer.append(part, keep=masks[name][first:last])
    files = {name: facts for writer in writers.values() for name, facts in writer.close().items()}
    return WrittenSplits(counts={name: writer.counts for name, writer in writers.items()}, files=files)


def _with_bounds(parts: Path, *, num_parts: int) -> Iterator[tuple[PartFile, int, int]]:
    """Each part, with the numbers of its first document and of the one behind its last."""
    first = 0
    for number in range(num_parts):
        part = PartFile(part_path(parts, number))
        last = first + len(part.array("sources"))
        yield part, first, last
        first = last
