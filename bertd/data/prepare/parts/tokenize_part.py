"""Turn a few megabytes of text into a part: read, filter, split into sentences, tokenize.

A part is a pure function of its blocks, so which worker makes it, and when, changes nothing. Nothing that depends on
other documents (duplicates, --max-documents) is decided here: each document comes with its hash, and the assembly
decides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bertd.data.arrays import IndexArray
from bertd.data.dataset.shards import OFFSET
from bertd.data.prepare.parts.minhash import band_hashes, compute_signatures
from bertd.data.prepare.parts.part_file import PartFacts, pack_part, part_path
from bertd.data.sources.language_identifier import LanguageIdentifier
from bertd.data.sources.readers.document import Block, Reader, ReadResult, Skipped, SkipReason
from bertd.data.sources.readers.left_out import LeftOut
from bertd.data.sources.sentences import split_sentences, split_spaced_sentences
from bertd.run.atomic_files import atomic_write
from bertd.run.dataset_manifest import Filters
from bertd.tokenizer.cached_encoder import CachedEncoder
from bertd.tokenizer.deleted_marks import DeletedMarks
from bertd.tokenizer.kind import VocabularyKind
from bertd.tokenizer.long_words import LongWords
from bertd.tokenizer.tokenizer import vocabulary_from_tokenizer
from bertd.tokenizer.vocabulary import token_dtype

_BATCH_CHARACTERS = 1 << 18
"""Text encoded at once: bounds the memory that lists of words take."""


@dataclass(frozen=True)
class SourceBlock:
    """A block and the source it came from."""

    source: int
    block: Block


@dataclass(frozen=True)
class PartTask:
    """The blocks of one part, as sent to a worker."""

    number: int
    blocks: tuple[SourceBlock, ...]
    next_file: int
    next_block: int


@dataclass(frozen=True)
class LetterCounts:
    """Characters, letters and ASCII letters of a text."""

    characters: int
    letters: int
    ascii_letters: int

    @property
    def ascii_share(self) -> float:
        """ASCII share of the letters; 1 for a text without letters."""
        return self.ascii_letters / self.letters if self.letters else 1.0


_NO_ASCII_LETTERS = bytes(code for code in range(256) if not (code < 128 and chr(code).isalpha()))
_ASCII = bytes(range(128))


def count_letters(text: str) -> LetterCounts:
    """Letters of a text and of its ASCII part, without looking at ASCII characters one by one."""
    content = text.encode()
    num_ascii = len(content.translate(None, _NO_ASCII_LETTERS))
    others = 0 if text.isascii() else sum(map(str.isalpha, content.translate(None, _ASCII).decode()))
    return LetterCounts(characters=len(text), letters=num_ascii + others, ascii_letters=num_ascii)


def text_hash(text: str) -> int:
    """64 bits that depend on every character; they decide the split and find exact duplicates."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass
class _PartBuffer:
    tokens: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    document_lengths: list[int] = field(default_factory=list)
    document_sentences: list[int] = field(default_factory=list)
    sentence_lengths: list[npt.NDArray[np.int64]] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    letters: list[LetterCounts] = field(default_factory=list)
    deleted_marks: list[int] = field(default_factory=list)
    long_word_characters: list[int] = field(default_factory=list)
    read: Counter[int] = field(default_factory=Counter)
    skipped: dict[int, Counter[str]] = field(default_factory=dict)
    read_characters: Counter[int] = field(default_factory=Counter)
    left_out: dict[int, LeftOut] = field(default_factory=dict)

    def skip(self, source: int, reason: SkipReason, *, read: int, sample: str, times: int = 1) -> None:
        """Count documents that are left out.

        Args:
            read: their characters.
        """
        self.skipped.setdefault(source, Counter())[reason.value] += times
        self.left_out_of(source).add_count(reason, read, sample=sample)

    def left_out_of(self, source: int) -> LeftOut:
        return self.left_out.setdefault(source, LeftOut())


class PartTokenizer:
    """Makes parts, with a worker's readers, filters, sentence splitter and tokenizer."""

    def __init__(
        self, *, folder: Path, readers: dict[int, Reader], tokenizer: Tokenizer, language: str, filters: Filters
    ) -> None:
        self._folder = folder
        self._readers = readers
        self._language = language
        self._filters = filters
        vocabulary = vocabulary_from_tokenizer(tokenizer, place="tokenizer")
        spells_spaces = vocabulary.kind is not VocabularyKind.WORDPIECE
        self._split = split_spaced_sentences if spells_spaces else split_sentences
        self._sep = vocabulary.sep
        self._unk = vocabulary.unk
        self._is_continuation = vocabulary.continuation_flags()
        self._dtype = token_dtype(vocabulary.size)
        self._encoder = CachedEncoder(tokenizer)
        self._marks = DeletedMarks(tokenizer)
        self._long_words = LongWords(tokenizer)
        self._identifier = None if filters.only_language is None else LanguageIdentifier(filters.only_language)

    def make_part(self, task: PartTask) -> PartFacts:
        """Read, filter, split, tokenize, and write the part's file; once it exists, the part is finished.

        Raises:
            StorageError: the disk refused.
            VocabularyError: the tokenizer fails on a text.
        """
        facts, content = self.build_part(task)
        atomic_write(part_path(self._folder, task.number), content)
        return facts

    def build_part(self, task: PartTask) -> tuple[PartFacts, bytes]:
        """Read, filter, split, tokenize: the facts of the part, and the content of its file.

        Raises:
            VocabularyError: the tokenizer fails on a text.
        """
        part = _PartBuffer()
        batch: list[tuple[int, str]] = []
        characters = 0
        for source, result in self._read_documents(task):
            part.read[source] += 1
            part.read_characters[source] += result.read
            text = self._filter_document(result, source, part)
            if text is None:
                continue
            batch.append((source, text))
            characters += len(text)
            if characters >= _BATCH_CHARACTERS:
                self._append_encoded(batch, part)
                batch, characters = [], 0
        self._append_encoded(batch, part)
        for item in task.blocks:
            if item.block.too_long:
                part.read[item.source] += item.block.too_long
                part.read_characters[item.source] += item.block.too_long_characters
                part.skip(
                    item.source,
                    SkipReason.TOO_LONG,
                    read=item.block.too_long_characters,
                    sample=item.block.too_long_sample,
                    times=item.block.too_long,
                )
        facts = PartFacts(
            next_file=task.next_file,
            next_block=task.next_block,
            read=dict(part.read),
            skipped={source: dict(counts) for source, counts in part.skipped.items()},
            read_characters=dict(part.read_characters),
            left_out={source: left_out.to_record() for source, left_out in part.left_out.items()},
        )
        return facts, pack_part(self._build_arrays(part), facts=facts)

    def _read_documents(self, task: PartTask) -> Iterator[tuple[int, ReadResult]]:
        for item in task.blocks:
            if item.block.content or not item.block.too_long:
                for result in self._readers[item.source].documents(item.block.content):
                    yield item.source, result

    def _filter_document(self, result: ReadResult, source: int, part: _PartBuffer) -> str | None:
        """A document's text if it passes every filter that looks at one alone; all else is counted."""
        if isinstance(result, Skipped):
            part.skip(source, result.reason, read=result.read, sample=result.sample)
            return None
        part.left_out_of(source).update(result.left_out)
        reason = self._skip_reason(result.text)
        if reason is None:
            return result.text
        part.skip(source, reason, read=len(result.text), sample=result.text)
        return None

    def _skip_reason(self, text: str) -> SkipReason | None:
        if not text:
            return SkipReason.EMPTY
        try:
            text.encode()
        except UnicodeEncodeError:
            # A JSON escape can spell half a surrogate pair.
            return SkipReason.INVALID_UTF8
        if len(text) < self._filters.min_characters:
            return SkipReason.SHORT
        if self._filters.min_ascii_share and count_letters(text).ascii_share < self._filters.min_ascii_share:
            return SkipReason.FEW_ASCII_LETTERS
        if self._identifier is not None and not self._identifier.is_in_language(text):
            return SkipReason.OTHER_LANGUAGE
        return None

    def _append_encoded(self, batch: list[tuple[int, str]], part: _PartBuffer) -> None:
        by_document = [self._split(text, language=self._language) for _, text in batch]
        encoded = self._encoder.encode([sentence for sentences in by_document for sentence in sentences])
        is_unknown = encoded.tokens == self._unk
        token = sentence = 0
        for (source, text), sentences in zip(batch, by_document, strict=True):
            lengths = encoded.lengths[sentence : sentence + len(sentences)]
            lengths = lengths[lengths > 0]
            num_tokens = int(lengths.sum())
            sentence += len(sentences)
            if not num_tokens:
                part.skip(source, SkipReason.EMPTY, read=len(text), sample=text)
                continue
            # A long word is an unknown token, so it is looked for only where there is one.
            has_unknown = bool(is_unknown[token : token + num_tokens].any())
            part.long_word_characters.append(self._long_words.count(text) if has_unknown else 0)
            part.tokens += [encoded.tokens[token : token + num_tokens], np.array([self._sep], dtype=np.uint32)]
            token += num_tokens
            lengths[-1] += 1
            part.sentence_lengths.append(lengths)
            part.document_lengths.append(num_tokens + 1)
            part.document_sentences.append(len(lengths))
            part.hashes.append(text_hash(text))
            part.sources.append(source)
            part.letters.append(count_letters(text))
            part.deleted_marks.append(self._marks.count(text))

    def _build_arrays(self, part: _PartBuffer) -> dict[str, npt.NDArray[Any]]:
        lengths = np.array(part.document_lengths, dtype=OFFSET)
        arrays: dict[str, npt.NDArray[Any]] = {
            "tokens": _concatenate([*part.tokens], dtype=self._dtype),
            "document_lengths": lengths,
            "document_sentences": np.array(part.document_sentences, dtype=OFFSET),
            "sentence_lengths": _concatenate([*part.sentence_lengths], dtype=OFFSET),
            "hashes": np.array(part.hashes, dtype="<u8"),
            "sources": np.array(part.sources, dtype=OFFSET),
        }
        for name in ("characters", "letters", "ascii_letters"):
            arrays[name] = np.array([getattr(letters, name) for letters in part.letters], dtype=OFFSET)
        arrays["deleted_marks"] = np.array(part.deleted_marks, dtype=OFFSET)
        arrays["long_word_characters"] = np.array(part.long_word_characters, dtype=OFFSET)
        is_continuation = self._is_continuation[arrays["tokens"]]
        # A document's first piece begins a word, whatever it looks like.
        is_continuation[np.cumsum(lengths) - lengths] = False
        # Less the [SEP] that closes each document.
        arrays["words"] = lengths - 1 - _count_per_document(is_continuation, lengths)
        arrays["unknown"] = _count_per_document(arrays["tokens"] == self._unk, lengths)
        if self._filters.dedup == "near":
            arrays["signatures"] = compute_signatures(arrays["tokens"], lengths)
            arrays["bands"] = band_hashes(arrays["signatures"])
        return arrays


def _concatenate(arrays: list[npt.NDArray[Any]], *, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *arrays]).astype(dtype)


def _count_per_document(chosen: npt.NDArray[np.bool_], lengths: IndexArray) -> IndexArray:
    """How many tokens of each document are chosen."""
    cumulative = np.concatenate([[0], np.cumsum(chosen)])
    counts: IndexArray = np.diff(cumulative[np.concatenate([[0], np.cumsum(lengths)])])
    return counts
