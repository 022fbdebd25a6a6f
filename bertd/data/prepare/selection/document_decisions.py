"""Decide over all documents at once: which repeat an earlier one, which are too many, and which are held out.

Memory holds a few bytes a document (its decision) and one bucket of hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import HashArray
from bertd.data.prepare.parts.part_file import PartFile, part_path
from bertd.data.prepare.selection.hash_partition import partition_by_hash
from bertd.data.prepare.selection.holdout import hold_out, is_enough
from bertd.data.prepare.selection.near_duplicates import find_near_duplicates
from bertd.errors import CorpusError
from bertd.run.amounts.quantities import format_count
from bertd.run.dataset_manifest import Filters

BoolArray = npt.NDArray[np.bool_]


class DocumentDecision(IntEnum):
    """The split of a document, or why it is left out."""

    TRAIN = 0
    VALIDATION = 1
    DUPLICATE = 2
    NEAR_DUPLICATE = 3
    OVER_LIMIT = 4


DecisionArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Decisions:
    """What becomes of each document, in the order of the parts."""

    documents: DecisionArray
    """A DocumentDecision for each."""
    cut: dict[int, int] = field(default_factory=dict)
    """Tokens to cut out of a training document for validation, by the document's number."""


def _read_hashes(folder: Path, *, num_parts: int) -> Iterator[HashArray]:
    for number in range(num_parts):
        yield PartFile(part_path(folder, number)).array("hashes").astype(np.uint64)


def decide_documents(folder: Path, *, num_parts: int, filters: Filters, validation_share: float) -> Decisions:
    """Decide which documents stay, and in which split.

    A document belongs to validation if its hash is among the lowest `validation_share` of all possible ones: adding a
    source moves no other document. If that holds out too little text, the documents with the lowest hashes are added,
    and pieces of long ones.

    Raises:
        CorpusError: no document is left, or too little text to hold some out.
    """
    num_documents = sum(len(hashes) for hashes in _read_hashes(folder, num_parts=num_parts))
    decisions: DecisionArray = np.full(num_documents, DocumentDecision.TRAIN, dtype=np.uint8)
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
    if filters.max_documents is not None:
        kept = np.flatnonzero(decisions == DocumentDecision.TRAIN)
        decisions[kept[filters.max_documents :]] = DocumentDecision.OVER_LIMIT
    if not (decisions == DocumentDecision.TRAIN).any():
        raise CorpusError("the sources hold no text that passes the filters; name other sources or loosen them")
    if not validation_share:
        return Decisions(decisions)
    if _choose_by_hash(decisions, folder, num_parts=num_parts, share=validation_share):
        return Decisions(decisions)
    return _choose_in_small_corpus(decisions, folder, num_parts=num_parts, share=validation_share)


def _choose_by_hash(decisions: DecisionArray, folder: Path, *, num_parts: int, share: float) -> bool:
    """Mark the documents whose hash puts them into validation; returns whether that is enough text."""
    first = num_tokens = num_chosen_tokens = 0
    for number in range(num_parts):
        part = PartFile(part_path(folder, number))
        hashes, lengths = part.array("hashes").astype(np.uint64), part.array("document_lengths") - 1
        part_decisions = decisions[first : first + len(hashes)]
        first += len(hashes)
        is_kept = part_decisions == DocumentDecision.TRAIN
        is_chosen = is_kept & is_in_validation(hashes, share=share)
        part_decisions[is_chosen] = DocumentDecision.VALIDATION
        num_tokens += int(lengths[is_kept].sum())
        num_chosen_tokens += int(lengths[is_chosen].sum())
    has_training_text = bool((decisions == DocumentDecision.TRAIN).any())
    return has_training_text and is_enough(num_chosen_tokens, num_tokens, share=share)


def _choose_in_small_corpus(decisions: DecisionArray, folder: Path, *, num_parts: int, share: float) -> Decisions:
    """Choose again where the share of documents holds out too little, or everything.

    Raises:
        CorpusError: there is too little text to hold some out.
    """
    decisions[decisions == DocumentDecision.VALIDATION] = DocumentDecision.TRAIN
    parts = [PartFile(part_path(folder, number)) for number in range(num_parts)]
    kept = np.flatnonzero(decisions == DocumentDecision.TRAIN)
    hashes = np.concatenate([part.array("hashes").astype(np.uint64) for part in parts])[kept]
    lengths = np.concatenate([part.array("document_lengths") - 1 for part in parts])[kept]
    # Copies of a document, which --dedup none keeps, stay together: validation would otherwise have text of training.
    _, first, places = np.unique(hashes, return_index=True, return_inverse=True)
    chosen = hold_out(lengths[first], share=share)
    if not chosen.whole and not chosen.cut:
        raise CorpusError(
            f"the only document that is left has {format_count(int(lengths.sum()), 'token')}, too few to train on some "
            "and to validate on others; add text, or read each line, or each part between blank lines, as a document "
            "with lines:PATH or text-blocks:PATH; with --validation 0 nothing is held out"
        )
    decisions[kept[places < len(chosen.whole)]] = DocumentDecision.VALIDATION
    cut = {int(document): tokens for place, tokens in chosen.cut.items() for document in kept[places == place]}
    return Decisions(decisions, cut=cut)


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
