"""Sentences to ids, several times as fast as `tokenizers` alone.

BERT's and RoBERTa's tokenizers encode every chunk, the characters between two spaces, independently, and text repeats
its words. So `CachedEncoder` has `tokenizers` encode each distinct chunk once, and then looks it up: the ids are the
same (tests compare them on real text and on odd text). `tokenizers` itself has no such cache for WordPiece. A
byte-level chunk includes the space before it, which its first token spells. Other tokenizers may treat a text in any
way: there, a chunk is a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bertd.errors import VocabularyError
from bertd.tokenizer.errors import translate_tokenizer_errors
from bertd.tokenizer.kind import VocabularyKind, detect_kind, has_prepend_normalizer, rename_special_tokens
from bertd.tokenizer.wordpiece import read_casing

_BATCH_CHARACTERS = 1 << 18
"""Text split at once: a list of its words takes 15 times its size."""
MAX_CHUNKS = 200_000
"""Distinct chunks cached before the cache is cleared: about 60 MB; in 58 MB of novels, 96 of 100 chunks were hits."""

# The BERT normalizer deletes control characters, but str.split treats these few as spaces.
_DELETED = re.compile("[\x0b\x0c\x1c-\x1f\x85]")

# Every printable ASCII character but letters and digits is a separate word.
_ASCII_WORD = re.compile("[A-Za-z0-9]+|[^A-Za-z0-9]")


@dataclass(frozen=True)
class EncodedSentences:
    """Sentences as ids, one after the other."""

    tokens: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.int64]
    """Tokens of each sentence; some may have none."""


def _batches(sentences: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for sentence in sentences:
        batch.append(sentence)
        characters += len(sentence)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class CachedEncoder:
    """Encodes sentences with a cache of the ids of every chunk."""

    def __init__(self, tokenizer: Tokenizer, *, max_chunks: int = MAX_CHUNKS) -> None:
        # Text that spells "[SEP]" is text: it must not become a special token in the stream.
        tokenizer.encode_special_tokens = True
        self._chunk_encoder: _ChunkEncoder = _CHUNK_ENCODERS[detect_kind(json.loads(tokenizer.to_str()))](tokenizer)
        self._max_chunks = max_chunks
        self._chunk_numbers = _ChunkNumbers()
        self._chunk_ids = _ChunkIds()

    def encode(self, sentences: list[str]) -> EncodedSentences:
        """Encode each sentence to the ids that `tokenizers` gives it; none is of a special token but unk.

        Args:
            sentences: except with BERT's vocabularies, all whitespace in a row counts as one space, and as none at
                the end.

        Raises:
            VocabularyError: the tokenizer fails on one of them.
        """
        try:
            with translate_tokenizer_errors():
                encoded = [self._encode(batch) for batch in _batches(sentences)]
        except RuntimeError as error:
            raise VocabularyError(f"the tokenizer fails on a text: {error}; fix it, or use another --vocab") from error
        return EncodedSentences(
            tokens=np.concatenate([np.empty(0, dtype=np.uint32), *(one.tokens for one in encoded)]),
            lengths=np.concatenate([np.empty(0, dtype=np.int64), *(one.lengths for one in encoded)]),
        )

    def _encode(self, sentences: list[str]) -> EncodedSentences:
        if len(self._chunk_numbers) > self._max_chunks:
            self._chunk_numbers = _ChunkNumbers()
            self._chunk_ids = _ChunkIds()
            self._chunk_encoder.clear()
        chunks: list[str] = []
        split = self._chunk_encoder.split
        ends = np.empty(len(sentences) + 1, dtype=np.int64)
        ends[0] = 0
        for index, sentence in enumerate(sentences):
            chunks += split(sentence)
            ends[index + 1] = len(chunks)
        numbers = np.fromiter(map(self._chunk_numbers.__getitem__, chunks), dtype=np.int64, count=len(chunks))
        if self._chunk_numbers.unencoded:
            self._chunk_ids.add(self._chunk_encoder.encode(self._chunk_numbers.unencoded))
            self._chunk_numbers.unencoded.clear()
        tokens, counts = self._chunk_ids.look_up(numbers)
        cumulative = np.concatenate([[0], np.cumsum(counts)])
        return EncodedSentences(tokens=tokens, lengths=np.diff(cumulative[ends]))


class _ChunkEncoder(Protocol):
    """How a kind of tokenizer splits a sentence into chunks and encodes them."""

    def split(self, sentence: str) -> list[str]:
        """The chunks of a sentence."""

    def encode(self, chunks: list[str]) -> list[list[int]]:
        """Ids of chunks that are not cached yet."""

    def clear(self) -> None:
        """Clear the encoder's own cache."""


class _WordPieceEncoder:
    """Chunks without spaces, for BERT's tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lowercase = read_casing(tokenizer).lowercase
        self._word_ids = _WordIds(tokenizer)

    def split(self, sentence: str) -> list[str]:
        if not sentence.isprintable():
            sentence = _DELETED.sub("", sentence)
        return sentence.split()

    def encode(self, chunks: list[str]) -> list[list[int]]:
        is_ascii = [chunk.isascii() and chunk.isprintable() for chunk in chunks]
        others = [chunk for chunk, plain in zip(chunks, is_ascii, strict=True) if not plain]
        encodings = iter(self._tokenizer.encode_batch_fast(others, add_special_tokens=False))
        return [
            self._encode_ascii(chunk) if plain else list(next(encodings).ids)
            for chunk, plain in zip(chunks, is_ascii, strict=True)
        ]

    def _encode_ascii(self, chunk: str) -> list[int]:
        """Do what the BERT normalizer and splitter do to ASCII, in a fifth of the time."""
        words = _ASCII_WORD.findall(chunk.lower() if self._lowercase else chunk)
        return [i for word in words for i in self._word_ids[word]]

    def clear(self) -> None:
        self._word_ids.clear()


class _ByteLevelEncoder:
    """Chunks with the space before them, which only the first of a sentence may lack."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def split(self, sentence: str) -> list[str]:
        words = sentence.split()
        chunks = [f" {word}" for word in words]
        if chunks and not sentence[0].isspace():
            chunks[0] = words[0]
        return chunks

    def encode(self, chunks: list[str]) -> list[list[int]]:
        return [list(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(chunks, add_special_tokens=False)]

    def clear(self) -> None:
        """Do nothing: the model of tokenizers bounds its own cache."""


class _SentenceEncoder(_ByteLevelEncoder):
    """Whole sentences, for tokenizers that may look across spaces."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tree = json.loads(tokenizer.to_str())
        # Such a model might produce a special token where the text spells its name.
        unspellable = Tokenizer.from_str(json.dumps(rename_special_tokens(tree)))
        unspellable.encode_special_tokens = True
        super().__init__(unspellable)
        self._prepends_space = has_prepend_normalizer(tree)

    def split(self, sentence: str) -> list[str]:
        text = "".join(super().split(sentence))
        if self._prepends_space:
            # The normalizer prepends a space; with this one, the first word would have two.
            text = text.removeprefix(" ")
        return [text] if text else []


_CHUNK_ENCODERS: dict[VocabularyKind, Callable[[Tokenizer], _ChunkEncoder]] = {
    VocabularyKind.WORDPIECE: _WordPieceEncoder,
    VocabularyKind.BYTE_LEVEL: _ByteLevelEncoder,
    VocabularyKind.OTHER: _SentenceEncoder,
}


class _WordIds(dict[str, list[int]]):
    """A cache of the ids of words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._model = tokenizer.model

    def __missing__(self, word: str) -> list[int]:
        ids = [token.id for token in self._model.tokenize(word)]
        self[word] = ids
        return ids


class _ChunkNumbers(dict[str, int]):
    """Numbers each distinct chunk, and lists those that are not encoded yet."""

    def __init__(self) -> None:
        super().__init__()
        self.unencoded: list[str] = []

    def __missing__(self, chunk: str) -> int:
        number = len(self)
        self[chunk] = number
        self.unencoded.append(chunk)
        return number


class _ChunkIds:
    """The ids of each numbered chunk, end to end."""

    def __init__(self) -> None:
        self._ids = np.empty(0, dtype=np.uint32)
        self._starts = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)

    def add(self, chunks: list[list[int]]) -> None:
        counts = np.fromiter(map(len, chunks), dtype=np.int64, count=len(chunks))
        starts = len(self._ids) + np.cumsum(counts) - counts
        flat = [i for chunk in chunks for i in chunk]
        self._ids = np.concatenate([self._ids, np.array(flat, dtype=np.uint32)])
        self._starts = np.concatenate([self._starts, starts])
        self._counts = np.concatenate([self._counts, counts])

    def look_up(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """All ids of the chunks with these numbers, end to end, and how many each has."""
        counts = self._counts[numbers]
        ends = np.cumsum(counts)
        positions = np.repeat(self._starts[numbers] - (ends - counts), counts)
        positions += np.arange(len(positions))
        return self._ids[positions], counts
