"""MinHash signatures of documents: two that share most of their token five-grams agree in most of a signature.

The permutations are rensa's, a MinHash in Rust. A signature is cut into bands; documents that agree in a whole band
are compared. With 16 bands of 8 rows, a pair of similarity 0.8 is compared in 95 of 100 cases, one of 0.5 in 6.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import HashArray, IndexArray, mix64
from bertd.errors import CorpusError

NUM_PERMUTATIONS = 128
NUM_BANDS = 16
SHINGLE_TOKENS = 5

_SEED = 42
_DOCUMENTS_AT_ONCE = 4096
"""Signatures computed at once: each passes through a list of Python numbers that takes ten times its size."""
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Signatures = npt.NDArray[np.uint32]


def shingle_hashes(tokens: npt.NDArray[np.unsignedinteger], lengths: IndexArray) -> tuple[HashArray, IndexArray]:
    """Hash of every five tokens in a row.

    Args:
        tokens: documents one after the other, a [SEP] after each.
        lengths: tokens of each document, its [SEP] counted.

    Returns:
        The hashes, and where each document's hashes begin in them (one entry more: their number). A document of fewer
        than five tokens has one.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    last_token = np.repeat(ends - 2, lengths)
    padded = np.concatenate([tokens.astype(np.uint64), np.zeros(SHINGLE_TOKENS, dtype=np.uint64)])
    position = np.arange(len(tokens))
    hashes = np.zeros(len(tokens), dtype=np.uint64)
    for offset in range(SHINGLE_TOKENS):
        token = np.where(
            position + offset <= last_token, padded[offset : offset + len(tokens)] + np.uint64(1), np.uint64(0)
        )
        hashes = hashes * _HASH_FACTOR + token
    counts = np.maximum(1, lengths - SHINGLE_TOKENS)
    position_in_document = position - np.repeat(starts, lengths)
    chosen = position_in_document < np.repeat(counts, lengths)
    return mix64(hashes[chosen]), np.concatenate([[0], np.cumsum(counts)])


def compute_signatures(tokens: npt.NDArray[np.unsignedinteger], lengths: IndexArray) -> Signatures:
    """(documents, NUM_PERMUTATIONS) signatures.

    Raises:
        CorpusError: rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise CorpusError("--dedup near needs the package rensa; pip install 'bertd[corpora]'") from error
    if not len(lengths):
        return np.empty((0, NUM_PERMUTATIONS), dtype=np.uint32)
    hashes, offsets = shingle_hashes(tokens, lengths)
    signatures = np.empty((len(lengths), NUM_PERMUTATIONS), dtype=np.uint32)
    for first in range(0, len(lengths), _DOCUMENTS_AT_ONCE):
        batch_offsets = offsets[first : first + _DOCUMENTS_AT_ONCE + 1]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            hashes[batch_offsets[0] : batch_offsets[-1]],
            (batch_offsets - batch_offsets[0]).astype(np.uint64),
            NUM_PERMUTATIONS,
            _SEED,
        )
        signatures[first : first + _DOCUMENTS_AT_ONCE] = matrix.to_rows()
    return signatures


def band_hashes(signatures: Signatures) -> HashArray:
    """(NUM_BANDS, documents): one number for each band of a signature."""
    bands = signatures.reshape(len(signatures), NUM_BANDS, NUM_PERMUTATIONS // NUM_BANDS).astype(np.uint64)
    hashes = np.zeros((len(signatures), NUM_BANDS), dtype=np.uint64)
    for row in range(bands.shape[2]):
        hashes = mix64(hashes ^ bands[:, :, row])
    return np.ascontiguousarray(hashes.T)
