"""Find documents that nearly repeat an earlier one, over all parts.

Band by band: documents that agree in a band are candidates, and a candidate is a duplicate if enough of its signature
agrees with an earlier document's. Signatures stay on the disk, and a band is processed in buckets of its hashes, so
that memory holds two bytes a document and one bucket.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import HashArray, IndexArray
from bertd.data.prepare.parts.minhash import NUM_BANDS, NUM_PERMUTATIONS, Signatures
from bertd.data.prepare.parts.part_file import PartFile, part_path
from bertd.data.prepare.selection.hash_partition import Bucket, partition_by_hash

_PAIRS_AT_ONCE = 1 << 14


def find_near_duplicates(
    folder: Path, *, num_parts: int, is_eligible: npt.NDArray[np.bool_], threshold: float, scratch: Path
) -> npt.NDArray[np.bool_]:
    """A flag for each document: whether it nearly repeats an earlier one.

    Args:
        is_eligible: documents to compare, over all parts; the others are neither marked nor compared with.
        threshold: share of a signature that must agree.
        scratch: a file to put all signatures in; removed at the end.
    """
    is_duplicate = np.zeros(len(is_eligible), dtype=np.bool_)
    with scratch.open("wb") as file:
        for number in range(num_parts):
            file.write(PartFile(part_path(folder, number)).array("signatures").tobytes())
    descriptor = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for band in range(NUM_BANDS):
            rows = partial(_read_band, folder, band, num_parts=num_parts)
            for candidates in partition_by_hash(rows, num_documents=len(is_eligible)):
                _mark_duplicates(
                    _candidate_pairs(candidates, is_eligible=is_eligible),
                    is_duplicate,
                    descriptor=descriptor,
                    threshold=threshold,
                )
    finally:
        os.close(descriptor)
        scratch.unlink()
    return is_duplicate


def _read_band(folder: Path, band: int, *, num_parts: int) -> Iterator[HashArray]:
    for number in range(num_parts):
        yield PartFile(part_path(folder, number)).row("bands", band)


def _candidate_pairs(candidates: Bucket, *, is_eligible: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """(n, 2) pairs (later, earlier) of equal hashes: each document with the one before and with the group's first."""
    chosen = is_eligible[candidates.documents]
    hashes, documents = candidates.hashes[chosen], candidates.documents[chosen]
    order = np.argsort(hashes, kind="stable")
    hashes, documents = hashes[order], documents[order]
    is_repeat = np.concatenate([[False], hashes[1:] == hashes[:-1]]) if len(hashes) else np.empty(0, dtype=np.bool_)
    position = np.arange(len(hashes))
    first_of_group = np.maximum.accumulate(np.where(is_repeat, 0, position))
    later, before, first = (
        documents[is_repeat],
        documents[position[is_repeat] - 1],
        documents[first_of_group[is_repeat]],
    )
    return np.concatenate([np.stack([later, before], axis=1), np.stack([later, first], axis=1)])


def _mark_duplicates(
    pairs: npt.NDArray[np.int64], is_duplicate: npt.NDArray[np.bool_], *, descriptor: int, threshold: float
) -> None:
    """Mark the later documents whose signatures agree with the earlier ones'."""
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        later, earlier = pairs[start : start + _PAIRS_AT_ONCE].T
        is_undecided = ~is_duplicate[later]
        later, earlier = later[is_undecided], earlier[is_undecided]
        agree = _read_signatures(descriptor, later) == _read_signatures(descriptor, earlier)
        is_duplicate[later[agree.mean(axis=1) >= threshold]] = True


def _read_signatures(descriptor: int, documents: IndexArray) -> Signatures:
    width = NUM_PERMUTATIONS * 4
    content = b"".join(os.pread(descriptor, width, width * document) for document in documents.tolist())
    return np.frombuffer(content, dtype=np.uint32).reshape(-1, NUM_PERMUTATIONS)
