"""Assemble parts to a data set: write the splits part by part, by the decisions of document_decisions.py.

Each part's tokens are copied to the split of their document. Memory holds one part.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np
import numpy.typing as npt

from bertd.data.dataset.shards import OFFSET, split_file_names
from bertd.data.prepare.parts.part_file import PartFile, part_path
from bertd.data.prepare.selection.document_decisions import Decisions, DocumentDecision
from bertd.data.prepare.splits.assembly_skips import AssemblySkips
from bertd.data.prepare.splits.part_documents import PartDocuments
from bertd.data.prepare.splits.source_tally import SourceTally
from bertd.data.sources.readers.left_out import LeftOut
from bertd.run.dataset_manifest import (
    PIECE_BYTES,
    FileFacts,
    HeldOutPieces,
    PieceHashes,
    SplitCounts,
    SplitName,
)

BoolArray = npt.NDArray[np.bool_]


class _HashingFile:
    """A file that is hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0
        self._piece_digest = hashlib.sha256()
        self._pieces: list[str] = []
        """Hashes of the pieces that are complete."""

    def write(self, array: npt.NDArray[np.generic]) -> None:
        content = memoryview(array.tobytes())
        self._file.write(content)
        self._digest.update(content)
        while content:
            room = PIECE_BYTES - self._size % PIECE_BYTES
            self._piece_digest.update(content[:room])
            self._size += len(content[:room])
            if len(content) >= room:
                self._pieces.append(self._piece_digest.hexdigest())
                self._piece_digest = hashlib.sha256()
            content = content[room:]

    def close(self) -> FileFacts:
        """Flush to disk and close; returns the size and the hashes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        pieces = None
        if self._size > PIECE_BYTES:
            last = [self._piece_digest.hexdigest()] if self._size % PIECE_BYTES else []
            pieces = PieceHashes(bytes=PIECE_BYTES, sha256=[*self._pieces, *last])
        return FileFacts(size=self._size, sha256=self._digest.hexdigest(), pieces=pieces)


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

    def append(self, documents: PartDocuments, *, keep: BoolArray) -> None:
        """Copy those documents of a part that belong to this split."""
        lengths = documents.lengths
        sentence_lengths = documents.sentence_lengths[np.repeat(keep, documents.num_sentences)]
        self._tokens.write(documents.tokens[np.repeat(keep, lengths)])
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
    left_out: dict[int, LeftOut]
    """Their characters, by source."""
    held_out: HeldOutPieces | None
    """Pieces of long documents that validation has; None where documents are in one split only."""


def write_splits(
    folder: Path, *, parts: Path, num_parts: int, decisions: Decisions, decode: Callable[[list[int]], str]
) -> WrittenSplits:
    """Write the files of both splits into `folder`.

    Args:
        decode: text of tokens, for samples of the documents that are left out.
    """
    names: tuple[SplitName, ...] = get_args(SplitName)
    wanted = dict(zip(names, (DocumentDecision.TRAIN, DocumentDecision.VALIDATION), strict=True))
    writers = {name: SplitWriter(folder, name) for name in names}
    tallies: dict[int, SourceTally] = {}
    skips = AssemblySkips(decode)
    first = num_pieces = 0
    for number in range(num_parts):
        part = PartFile(part_path(parts, number))
        sources = part.array("sources")
        part_decisions = decisions.documents[first : first + len(sources)]
        documents = PartDocuments.of_part(part, part_decisions)
        for document in sorted(decisions.cut.keys() & range(first, first + len(sources)), reverse=True):
            num_before = documents.num_held_out
            documents = documents.cut(document - first, num_held=decisions.cut[document])
            num_pieces += documents.num_held_out - num_before
        first += len(sources)
        for name, writer in writers.items():
            writer.append(documents, keep=documents.decisions == wanted[name])
        for source in np.unique(sources).tolist():
            tallies.setdefault(source, SourceTally()).add(
                part, keep=(part_decisions <= DocumentDecision.VALIDATION) & (sources == source)
            )
            skips.add(part, part_decisions, source=source, chosen=sources == source)
    files = {name: facts for writer in writers.values() for name, facts in writer.close().items()}
    counts = {name: writer.counts for name, writer in writers.items()}
    held_out = HeldOutPieces(documents=len(decisions.cut), pieces=num_pieces) if decisions.cut else None
    return WrittenSplits(
        counts=counts,
        files=files,
        sources=tallies,
        skipped=skips.skipped,
        left_out=skips.left_out,
        held_out=held_out,
    )
