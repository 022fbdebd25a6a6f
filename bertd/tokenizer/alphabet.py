"""Choose the single characters that a new vocabulary starts from, before it is trained.

`tokenizers` numbers the pieces that continue a word (##a) in the order of a hash table that differs from process to
process, breaks ties between merges by those numbers, and chooses among equally rare characters in the same way. So the
same text would give another vocabulary each time. Counting the characters first and giving the trainer all of them in
a fixed order makes the result repeatable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bertd.tokenizer.deleted_marks import DeletedMarks

IndexArray = npt.NDArray[np.int64]

_CODE_POINTS = 0x110000
_BATCH_CHARACTERS = 1 << 21
_MIN_COVERAGE = 0.9995
"""Least share of a text's characters that an alphabet covers. Source: SentencePiece's character_coverage."""


@dataclass(frozen=True)
class Characters:
    """What a text is written with."""

    frequent: tuple[str, ...]
    """After normalization, the most frequent first; of equally frequent ones the lower code point."""
    counts: IndexArray
    """How often each of them occurs."""
    letters: int
    """Of the text as it is."""
    deleted_marks: int
    """Accents, vowel signs and other marks on letters that the normalizer deletes."""

    def alphabet(self, *, target_size: int, max_size: int) -> list[str]:
        """The most frequent characters.

        Args:
            target_size: number of characters, unless so few cover too little of the text, as in Chinese.
            max_size: most characters in any case.
        """
        if not self.frequent:
            return []
        cumulative = np.cumsum(self.counts)
        num_needed = 1 + int(np.searchsorted(cumulative, _MIN_COVERAGE * cumulative[-1]))
        return sorted(self.frequent[: min(max_size, max(target_size, num_needed))])


def count_characters(texts: Iterable[str], *, tokenizer: Tokenizer) -> Characters:
    """Count the characters of texts before and after normalization.

    Args:
        tokenizer: with a normalizer that treats characters one by one, as BERT's does.
    """
    counts = np.zeros(_CODE_POINTS, dtype=np.int64)
    for batch in _batches(texts):
        codes = np.frombuffer(batch.encode("utf-32-le"), dtype="<u4")
        counts += np.bincount(codes, minlength=_CODE_POINTS)
    normalized: Counter[str] = Counter()
    letters = deleted_marks = 0
    marks = DeletedMarks(tokenizer)
    for code in np.flatnonzero(counts).tolist():
        times = int(counts[code])
        letters += times * chr(code).isalpha()
        deleted_marks += times * marks[chr(code)]
        for character in tokenizer.normalizer.normalize_str(chr(code)):
            if not character.isspace():
                normalized[character] += times
    frequent = sorted(normalized, key=lambda character: (-normalized[character], character))
    return Characters(
        frequent=tuple(frequent),
        counts=np.array([normalized[character] for character in frequent], dtype=np.int64),
        letters=letters,
        deleted_marks=deleted_marks,
    )


def fill_with_characters(
    entries: tuple[str, ...], characters: Characters, *, size: int, tokenizer: Tokenizer
) -> tuple[str, ...]:
    """Give entries that are still free to characters that have none, the most frequent first.

    A text of many characters, such as a Chinese one, has few pieces of several.
    """
    filled = dict.fromkeys(entries)
    for character in characters.frequent:
        pieces = [character, *continuation_pieces([character], tokenizer=tokenizer)]
        missing = [piece for piece in pieces if piece not in filled]
        if len(filled) + len(missing) > size:
            break
        filled.update(dict.fromkeys(missing))
    return tuple(filled)


def _batches(texts: Iterable[str]) -> Iterator[str]:
    """Join texts to strings of at least _BATCH_CHARACTERS, which are counted at once."""
    batch_texts: list[str] = []
    size = 0
    for text in texts:
        batch_texts.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield "".join(batch_texts)
            batch_texts, size = [], 0
    yield "".join(batch_texts)


def continuation_pieces(alphabet: list[str], *, tokenizer: Tokenizer) -> list[str]:
    """`##c` for each character that can continue a word; punctuation and CJK characters are separate words."""
    return [f"##{character}" for character in alphabet if _can_continue_word(character, tokenizer=tokenizer)]


def _can_continue_word(character: str, *, tokenizer: Tokenizer) -> bool:
    word = tokenizer.normalizer.normalize_str(f"a{character}a")
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(word)) == 1
