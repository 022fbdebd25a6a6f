"""Near duplicates: signatures that estimate similarity, and the documents that are left out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from bertd.data.prepare.parts.minhash import (
    NUM_BANDS,
    NUM_PERMUTATIONS,
    SHINGLE_TOKENS,
    band_hashes,
    compute_signatures,
    shingle_hashes,
)
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.prepare.selection import near_duplicates
from bertd.run.dataset_manifest import Filters
from tests.data.conftest import made_up_text

SEP = 9999


def stream(
    documents: list[list[int]],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint16]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    tokens = np.array([token for document in documents for token in [*document, SEP]], dtype=np.uint16)
    return tokens, np.array([len(document) + 1 for document in documents], dtype=np.int64)


def shingles(document: list[int]) -> set[tuple[int, ...]]:
    return {tuple(document[i : i + SHINGLE_TOKENS]) for i in range(max(1, len(document) - SHINGLE_TOKENS + 1))}


def test_equal_five_grams_and_no_others_hash_alike() -> None:
    draw = random.Random(0)
    documents = [[draw.randrange(3) for _ in range(draw.randint(1, 30))] for _ in range(200)]
    hashes, offsets = shingle_hashes(*stream(documents))
    by_hash: dict[int, set[tuple[int, ...]]] = {}
    for document, first, last in zip(documents, offsets[:-1], offsets[1:], strict=True):
        grams = [tuple(document[i : i + SHINGLE_TOKENS]) for i in range(max(1, len(document) - SHINGLE_TOKENS + 1))]
        assert last - first == len(grams)
        for number, gram in zip(hashes[first:last].tolist(), grams, strict=True):
            by_hash.setdefault(number, set()).add(gram)
    assert all(len(grams) == 1 for grams in by_hash.values())
    assert len(by_hash) == len(set().union(*map(shingles, documents)))


def test_signatures_estimate_the_share_of_common_five_grams() -> None:
    draw = random.Random(1)
    base = [draw.randrange(5000) for _ in range(600)]
    for kept in (600, 500, 300, 100):
        other = base[:kept] + [draw.randrange(5000) for _ in range(600 - kept)]
        signatures = compute_signatures(*stream([base, other]))
        assert signatures.shape == (2, NUM_PERMUTATIONS)
        truth = len(shingles(base) & shingles(other)) / len(shingles(base) | shingles(other))
        # Five standard deviations of a share of 128.
        assert abs((signatures[0] == signatures[1]).mean() - truth) <= 5 * np.sqrt(0.25 / NUM_PERMUTATIONS)
    assert band_hashes(signatures).shape == (NUM_BANDS, 2)


def vary(text: str, *, words: int, draw: random.Random) -> str:
    """The text with some words exchanged."""
    parts = text.split(" ")
    for place in draw.sample(range(len(parts)), words):
        parts[place] = "xylophone"
    return " ".join(parts)


def test_near_duplicates_go_and_the_earliest_stays(
    tmp_path: Path, vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "_PAIRS_AT_ONCE", 7)
    draw = random.Random(2)
    originals = [made_up_text(number, sentences=40) for number in range(30)]
    copies = [vary(text, words=2, draw=draw) for text in originals[:10]]
    half = [text[: len(text) // 2] for text in originals[10:20]]
    lines = tmp_path / "lines.jsonl"
    texts = [*originals, originals[3], *copies, *half, "short one", "short one too"]
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    filters = Filters(dedup="near", near_threshold=0.8)
    options = PrepareOptions(vocab=str(vocab), filters=filters, validation_share=0.0)
    (source,) = prepare([str(lines)], out=tmp_path / "set", options=options, processes=1).sources
    assert source.skipped == {"exact duplicate": 1, "near duplicate": 10}
    assert source.kept.documents == 30 + 10 + 2
    prepare([str(lines)], out=tmp_path / "three", options=options, processes=3)
    for name in ("train.tokens", "manifest.json"):
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_a_part_without_documents_has_bands_of_none() -> None:
    signatures = compute_signatures(*stream([]))
    assert signatures.shape == (0, NUM_PERMUTATIONS) and band_hashes(signatures).shape == (NUM_BANDS, 0)
