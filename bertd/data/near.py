"""Which documents are nearly an earlier one, decided over all parts.

Band by band: documents that agree in a band are candidates, and a candidate goes if its signature agrees with an
earlier document's in the share asked for. Memory holds 8 bytes a document and the pairs; signatures stay on the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertd.data.parts import PartFile, part_path
from bertd.data.sampler import HashArray
from bertd.data.signatures import NUM_BANDS, NUM_PERMUTATIONS, Signatures

_PAIRS_AT_ONCE = 1 << 14


def near_duplicates(
    folder: Path, *, num_parts: int, stays: npt.NDArray[np.bool_], threshold: float, scratch: Path
) -> npt.NDArray[np.bool_]:
    """Which documents are nearly an earlier one.

    Args:
        stays: documents to look at, over all parts; the others are neither found nor found again.
        threshold: share of a signature that must agree.
        scratch: a file to put all signatures in; removed at the end.
    """
    by_band = [_pairs(folder, band, num_parts=num_parts, stays=stays) for band in range(NUM_BANDS)]
    pairs = np.unique(np.concatenate(by_band))
    later, earlier = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
    goes = np.zeros(len(stays), dtype=np.bool_)
    with scratch.open("wb") as file:
        for number in range(num_parts):
            file.write(PartFile(part_path(folder, number)).array("signatures").tobytes())
    descriptor = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for first in range(0, len(pairs), _PAIRS_AT_ONCE):
            chosen = slice(first, first + _PAIRS_AT_ONCE)
            agree = _rows(descriptor, later[chosen]) == _rows(descriptor, earlier[chosen])
            goes[later[chosen][agree.mean(axis=1) >= threshold]] = True
    finally:
        os.close(descriptor)
        scratch.unlink()
    return goes


def _pairs(folder: Path, band: int, *, num_parts: int, stays: npt.NDArray[np.bool_]) -> HashArray:
    """Documents that agree in a band, each with the first that does and with the one before: later << 32 | earlier."""
    hashes = np.concatenate([PartFile(part_path(folder, number)).row("bands", band) for number in range(num_parts)])
    documents = np.flatnonzero(stays)
    order = documents[np.argsort(hashes[documents], kind="stable")]
    in_order = hashes[order]
    again = np.concatenate([[False], in_order[1:] == in_order[:-1]])
    place = np.arange(len(order))
    first_of_group = np.maximum.accumulate(np.where(again, 0, place))
    later = order[again].astype(np.uint64) << np.uint64(32)
    before, first = order[place[again] - 1], order[first_of_group[again]]
    return np.concatenate([later | before.astype(np.uint64), later | first.astype(np.uint64)])


def _rows(descriptor: int, documents: HashArray) -> Signatures:
    width = NUM_PERMUTATIONS * 4
    content = b"".join(os.pread(descriptor, width, width * document) for document in documents.tolist())
    return np.frombuffer(content, dtype=np.uint32).reshape(-1, NUM_PERMUTATIONS)
