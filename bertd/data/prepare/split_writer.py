"""Assemble parts to a data set: decide over all documents at once, then write the splits part by part.

First pass: the documents' hashes decide which split each belongs to and which repeat an earlier one. Second pass: each
part's tokens are copied to the splits according to these decisions. Memory holds a few bytes a document (its decision),
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

from bertd.data.arrays import HashArray
from bertd.data.dataset.manifest import FileFacts, Filters, SplitCounts, SplitName
from bertd.data.dataset.shards import OFFSET, split_file_names
from bertd.data.prepare.hash_partition import partition_by_hash
from bertd.data.prepare.near_duplicates import find_near_duplicates
from bertd.data.prepare.part_file import PartFile, part_path
from bertd.data.prepare.source_tally import SourceTally
from bertd.data.sources.readers.document import SkipReason
from bertd.errors import CorpusError

BoolArray = npt.NDArray[np.bool_]


class DocumentDecision(IntEnum):
    """The split of a document, or why it is left out."""

    TRAIN = 0
    VALIDATION = 1
    DUPLICATE = 2
    NEAR_DUPLICATE = 3
    OVER_LIMIT = 4


Decisions = npt.NDArray[np.uint8]
"""A DocumentDecision for each document, in the order of the parts."""

_SKIP_REASONS = {
    DocumentDecision.DUPLICATE: SkipReason.DUPLICATE,
    DocumentDecision.NEAR_DUPLICATE: SkipReason.NEAR_DUPLICATE,
    DocumentDecision.OVER_LIMIT: SkipReason.OVER_LIMIT,
}


def _read_hashes(folder: Path, *, num_parts: int) -> Iterator[HashArray]:
    for number in range(num_parts):
        yield PartFile(part_path(folder, number)).array("hashes").astype(np.uint64)


def decide_documents(folder: Path, *, num_parts: int, filters: Filters, validation_share: float) -> Decisions:
    """Decide which documents stay, and in which split.

    A document belongs to validation if its hash is among the lowest `validation_share` of all possible ones: adding a
    source moves no other document. If none is that low, the lowest of all is taken, so that there is something to
    validate on.

    Raises:
        CorpusError: no document is left.
    """
    num_documents = sum(len(hashes) for hashes in _read_hashes(folder, num_parts=num_parts))
    decisions: Decisions = np.full(num_documents, DocumentDecision.TRAIN, dtype=np.uint8)
    if filters.dedup != "none":
        for bucket in partition_by_hash(
            partial(_read_hashes, folder, num_parts=num_parts), num_documents=num_documents
        ):
            decisions[bucket.documents[find_repeats(bucket.hashes)]] = DocumentDecision.DUPLICATE
    if filters.dedup == "near":
        is_eligible, scratch = decisions == DocumentDecision.TRAIN, folder / "all-signatures"
        near = find_near_duplicates(
            folder, num_parts=num_parts, is_eligible=is_eligible, threshold=filters.near_threshold, scratch=scratch
        )
        decisions[near] = DocumentDecision.NEAR_DUPLICATE
    _assign_splits(decisions, _read_hashes(folder, num_parts=num_parts), filters=filters, share=validation_share)
    if not (decisions <= DocumentDecision.VALIDATION).any():
        raise CorpusError("the sources hold no text that passes the filters; name other sources or loosen them")
    return decisions


def _assign_splits(decisions: Decisions, parts: Iterator[HashArray], *, filters: Filters, share: float) -> None:
    """Mark the documents beyond --max-documents and those for validation, part by part."""
    limit = len(decisions) if filters.max_documents is None else filters.max_documents
    num_kept = first = num_chosen = lowest_document = 0
    lowest: int | None = None
    for hashes in parts:
        part_decisions = decisions[first : first + len(hashes)]
        part_decisions[
            (part_decisions == DocumentDecision.TRAIN)
            & (num_kept + np.cumsum(part_decisions == DocumentDecision.TRAIN) > limit)
        ] = DocumentDecision.OVER_LIMIT
        kept = np.flatnonzero(part_decisions == DocumentDecision.TRAIN)
        chosen = kept[is_in_validation(hashes[kept], share=share)]
        if len(kept) and (lowest is None or hashes[kept].min() < lowest):
            lowest, lowest_document = int(hashes[kept].min()), first + int(kept[np.argmin(hashes[kept])])
        part_decisions[chosen] = DocumentDecision.VALIDATION
        num_chosen += len(chosen)
        num_kept += len(kept)
        first += len(hashes)
    if share and not num_chosen and num_kept > 1:
        decisions[lowest_document] = DocumentDecision.VALIDATION


def find_repeats(hashes: HashArray) -> BoolArray:
    """Which entries equal an earlier one."""
    _, first = np.unique(hashes, return_index=True)
    is_repeat = np.ones(len(hashes), dtype=np.bool_)
    is_repeat[first] = False
    return is_repeat


def is_in_validation(hashes: HashArray, *, share: float) -> BoolArray:
    """Which documents the hash puts into validation."""
    # The top 53 bits, since a float64 holds no more.
    return (hashes >> np.uint64(11)).astype(np.float64) < share * 2.0**53


class _HashingFile:
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
        """Flush to disk and close; returns the size and the hash."""
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
            _HashingFile(self.folder / name) for name in split_file_names(self.split)
        )

    def append(self, part: PartFile, *, keep: BoolArray) -> None:
        """Copy the documents of a part that belong to this split."""
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
        """Append the stream's length to the offsets, and close the files."""
        end = np.array([self.counts.stream_tokens], dtype=OFFSET)
        self._documents.write(end)
        self._sentences.write(end)
        files = (self._tokens, self._documents, self._sentences)
        return {name: file.close() for name, file in zip(split_file_names(self.split), files, strict=True)}


@dataclass(frozen=True)
class WrittenSplits:
    counts: dict[SplitName, SplitCounts]
    files: dict[str, FileFacts]
    sources: dict[int, SourceTally]
    """What was kept, by source."""
    skipped: dict[int, Counter[str]]
    """Documents left out by the assembly, by source and reason."""


def write_splits(folder: Path, *, parts: Path, num_parts: int, decisions: Decisions) -> WrittenSplits:
    """Write the files of both splits into `folder`."""
    names: tuple[SplitName, ...] = get_args(SplitName)
    wanted = dict(zip(names, (DocumentDecision.TRAIN, DocumentDecision.VALIDATION), strict=True))
    writers = {name: SplitWriter(folder, name) for name in names}
    tallies: dict[int, SourceTally] = {}
    skipped: dict[int, Counter[str]] = {}
    first = 0
    for number in range(num_parts):
        part = PartFile(part_path(parts, number))
        sources = part.array("sources")
        part_decisions = decisions[first : first + len(sources)]
        first += len(sources)
        for name, writer in writers.items():
            writer.append(part, keep=part_decisions == wanted[name])
        for source in np.unique(sources).tolist():
            tallies.setdefault(source, SourceTally()).add(
                part, keep=(part_decisions <= DocumentDecision.VALIDATION) & (sources == source)
            )
            for decision, times in zip(*np.unique(part_decisions[sources == source], return_counts=True), strict=True):
                if reason := _SKIP_REASONS.get(DocumentDecision(int(decision))):
                    skipped.setdefault(source, Counter())[reason.value] += int(times)
    files = {name: facts for writer in writers.values() for name, facts in writer.close().items()}
    counts = {name: writer.counts for name, writer in writers.items()}
    return WrittenSplits(counts=counts, files=files, sources=tallies, skipped=skipped)
