"""Group documents by a hash into buckets of bounded size; equal hashes are always in one bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bertd.data.arrays import HashArray, IndexArray

BUCKET_DOCUMENTS = 1 << 22
"""Documents in a bucket, on average; each takes some 40 bytes while it is sorted."""


@dataclass(frozen=True)
class Bucket:
    """Some of the documents, in their order."""

    hashes: HashArray
    documents: IndexArray
    """Document numbers, counted over all parts."""


def partition_by_hash(read: Callable[[], Iterator[HashArray]], *, num_documents: int) -> Iterator[Bucket]:
    """All documents, in buckets by their hashes.

    Args:
        read: returns the hashes of every document, part by part; called once for each bucket.
    """
    num_buckets = 1 + num_documents // BUCKET_DOCUMENTS
    for bucket_index in range(num_buckets):
        hashes: list[HashArray] = [np.empty(0, dtype=np.uint64)]
        documents: list[IndexArray] = [np.empty(0, dtype=np.int64)]
        first = 0
        for part in read():
            selected = np.flatnonzero(part % np.uint64(num_buckets) == bucket_index)
            hashes.append(part[selected].astype(np.uint64))
            documents.append(selected + first)
            first += len(part)
        yield Bucket(hashes=np.concatenate(hashes), documents=np.concatenate(documents))
