"""One part of a corpus, tokenized: what a worker makes of a few megabytes of text and leaves as one file.

A part is a pure function of its blocks, so which worker makes it, and when, changes nothing. Its file is written
whole; a part whose file is there is done. Nothing that depends on other documents (duplicates, the most documents
wanted) is decided here: each document brings its hash, and the assembly decides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tokenizers import Tokenizer

from bertd.data.manifest import Filters
from bertd.data.readers.document import Block, Reader, Reading, SkipReason
from bertd.data.sentences import split_sentences
from bertd.data.vocabulary import token_dtype
from bertd.data.wordpiece import ChunkEncoder, vocabulary_of
from bertd.errors import StorageError
from bertd.run.durable import write_whole

_BATCH_CHARACTERS = 1 << 18
"""Text encoded at once: bounds the memory that lists of words take."""


class PartFacts(BaseModel):
    """What the reading process and the assembly want to know of a part besides its arrays."""

    model_config = ConfigDict(frozen=True)

    next_file: int
    """Where reading goes on behind this part: a file, counted over all sources,"""
    next_block: int
    """and a block of it."""
    read: dict[int, int]
    """Documents met, by source."""
    skipped: dict[int, dict[str, int]]
    """Documents left out, by source and reason."""


@dataclass(frozen=True)
class SourceBlock:
    """A block and the source it came from."""

    source: int
    block: Block


@dataclass(frozen=True)
class PartTask:
    """What a worker is sent."""

    number: int
    blocks: tuple[SourceBlock, ...]
    next_file: int
    next_block: int


def part_path(folder: Path, number: int) -> Path:
    """Where a part lies."""
    return folder / f"part-{number:07d}.safetensors"


def text_hash(text: str) -> int:
    """64 bits that depend on every character: the split and the exact duplicates go by them."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass
class _Collected:
    """What a part has so far."""

    tokens: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    document_lengths: list[int] = field(default_factory=list)
    document_sentences: list[int] = field(default_factory=list)
    sentence_lengths: list[npt.NDArray[np.int64]] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    read: Counter[int] = field(default_factory=Counter)
    skipped: dict[int, Counter[str]] = field(default_factory=dict)

    def skip(self, source: int, reason: SkipReason, *, times: int = 1) -> None:
        self.skipped.setdefault(source, Counter())[reason.value] += times


class PartMaker:
    """A worker's tools: readers, filters, splitter and tokenizer."""

    def __init__(
        self, *, folder: Path, readers: dict[int, Reader], tokenizer: Tokenizer, language: str, filters: Filters
    ) -> None:
        self._folder = folder
        self._readers = readers
        self._language = language
        self._filters = filters
        vocabulary = vocabulary_of(tokenizer, place="tokenizer")
        self._sep = vocabulary.sep
        self._dtype = token_dtype(vocabulary.size)
        self._encoder = ChunkEncoder(tokenizer)

    def make(self, task: PartTask) -> PartFacts:
        """Read, filter, split, tokenize, and write the part's file.

        Raises:
            StorageError: the disk refused.
        """
        part = _Collected()
        batch: list[tuple[int, str]] = []
        characters = 0
        for source, reading in self._readings(task):
            part.read[source] += 1
            kept = self._filtered(reading)
            if isinstance(kept, SkipReason):
                part.skip(source, kept)
                continue
            batch.append((source, kept))
            characters += len(kept)
            if characters >= _BATCH_CHARACTERS:
                self._encode(batch, part)
                batch, characters = [], 0
        self._encode(batch, part)
        for item in task.blocks:
            if item.block.too_long:
                part.read[item.source] += item.block.too_long
                part.skip(item.source, SkipReason.TOO_LONG, times=item.block.too_long)
        facts = PartFacts(
            next_file=task.next_file,
            next_block=task.next_block,
            read=dict(part.read),
            skipped={source: dict(counts) for source, counts in part.skipped.items()},
        )
        write_whole(part_path(self._folder, task.number), _packed(part, facts=facts, dtype=self._dtype))
        return facts

    def _readings(self, task: PartTask) -> Iterator[tuple[int, Reading]]:
        for item in task.blocks:
            if item.block.content or not item.block.too_long:
                for reading in self._readers[item.source].documents(item.block.content):
                    yield item.source, reading

    def _filtered(self, reading: Reading) -> Reading:
        """The text, if every filter that looks at one document alone lets it pass."""
        if isinstance(reading, SkipReason):
            return reading
        if not reading:
            return SkipReason.EMPTY
        if len(reading) < self._filters.min_characters:
            return SkipReason.SHORT
        if self._filters.min_ascii_share and ascii_share(reading) < self._filters.min_ascii_share:
            return SkipReason.FOREIGN
        try:
            reading.encode()
        except UnicodeEncodeError:
            # A JSON escape can spell half a surrogate pair.
            return SkipReason.INVALID_UTF8
        return reading

    def _encode(self, batch: list[tuple[int, str]], part: _Collected) -> None:
        by_document = [split_sentences(text, language=self._language) for _, text in batch]
        encoded = self._encoder.encode([sentence for sentences in by_document for sentence in sentences])
        token = sentence = 0
        for (source, text), sentences in zip(batch, by_document, strict=True):
            lengths = encoded.lengths[sentence : sentence + len(sentences)]
            lengths = lengths[lengths > 0]
            num_tokens = int(lengths.sum())
            sentence += len(sentences)
            if not num_tokens:
                part.skip(source, SkipReason.EMPTY)
                continue
            part.tokens += [encoded.tokens[token : token + num_tokens], np.array([self._sep], dtype=np.uint32)]
            token += num_tokens
            lengths[-1] += 1
            part.sentence_lengths.append(lengths)
            part.document_lengths.append(num_tokens + 1)
            part.document_sentences.append(len(lengths))
            part.hashes.append(text_hash(text))
            part.sources.append(source)


def ascii_share(text: str) -> float:
    """Share of ASCII among the letters; 1 for a text without letters."""
    num_ascii = sum(map(str.isalpha, text.encode("ascii", "ignore").decode("ascii")))
    num_letters = sum(map(str.isalpha, text))
    return num_ascii / num_letters if num_letters else 1.0


def _packed(part: _Collected, *, facts: PartFacts, dtype: np.dtype[np.uint16] | np.dtype[np.uint32]) -> bytes:
    def joined(arrays: list[npt.NDArray[np.generic]], like: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
        return np.concatenate([np.empty(0, dtype=like), *arrays]).astype(like)

    offset = np.dtype("<i8")
    arrays = {
        "tokens": joined([*part.tokens], dtype),
        "document_lengths": np.array(part.document_lengths, dtype=offset),
        "document_sentences": np.array(part.document_sentences, dtype=offset),
        "sentence_lengths": joined([*part.sentence_lengths], offset),
        "hashes": np.array(part.hashes, dtype="<u8"),
        "sources": np.array(part.sources, dtype=offset),
    }
    packed: bytes = save(arrays, metadata={"facts": facts.model_dump_json()})
    return packed


class PartFile:
    """A part that is done, with its arrays:

    tokens: the stream, each document's tokens, then a [SEP]
    document_lengths: tokens of each document in the stream, its [SEP] counted
    document_sentences: sentences of each document
    sentence_lengths: tokens of each sentence; the last of a document counts the [SEP]
    hashes: of each document's text
    sources: number of each document's source
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            self._file = cast(Any, safe_open(path, framework="numpy"))
            self.facts = PartFacts.model_validate_json(self._file.metadata()["facts"])
        except (OSError, SafetensorError) as error:
            raise StorageError(f"{path}: cannot read: {error}; remove it and prepare again") from error

    def array(self, name: str) -> npt.NDArray[np.int64]:
        """One array, read whole; the tokens are of a narrower type."""
        array: npt.NDArray[np.int64] = self._file.get_tensor(name)
        return array
