"""Choose the single characters that a new vocabulary starts from, before it is trained.

`tokenizers` numbers the pieces that continue a word (##a) in the order of a hash table that differs from process to
process, breaks ties between merges by those numbers, and chooses among equally rare characters in the same way. So the
same text would give another vocabulary each time. Counting the characters first and giving the trainer all of them in
a fixed order makes the result repeatable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers import Tokenizer

_CODE_POINTS = 0x110000
_BATCH_CHARACTERS = 1 << 21


_MIN_COVERAGE = 0.9995
"""Least share of a text's characters that an alphabet covers. Source: SentencePiece's character_coverage."""


def choose_alphabet(texts: Iterable[str], *, tokenizer: Tokenizer, target_size: int, max_size: int) -> list[str]:
    """The most frequent characters after normalization; ties go to the lower code point.

    Args:
        tokenizer: with a normalizer that treats characters one by one, as BERT's does.
        target_size: number of characters, unless so few cover too little of the text, as in Chinese.
        max_size: most characters in any case.
    """
    counts = np.zeros(_CODE_POINTS, dtype=np.int64)
    for batch in _batches(texts):
        codes = np.frombuffer(batch.encode("utf-32-le"), dtype="<u4")
        counts += np.bincount(codes, minlength=_CODE_POINTS)
    normalized: Counter[str] = Counter()
    for code in np.flatnonzero(counts).tolist():
        for character in tokenizer.normalizer.normalize_str(chr(code)):
            if not character.isspace():
                normalized[character] += int(counts[code])
    frequent = sorted(normalized, key=lambda character: (-normalized[character], character))
    cumulative = np.cumsum([normalized[character] for character in frequent])
    num_needed = 1 + int(np.searchsorted(cumulative, _MIN_COVERAGE * cumulative[-1])) if frequent else 0
    return sorted(frequent[: min(max_size, max(target_size, num_needed))])


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
