"""Words that are too long for a vocabulary, beside what `tokenizers` makes of them."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertd.tokenizer.long_words import LongWords

_PIECES = ("[UNK]", "a", "##a", "1", "##1", "+", "_", "东", "##ä", "ä", "ก", "##ก", "あ", "##あ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a " * 200, 0),
        ("a" * 100, 0),
        ("a" * 101, 101),
        (f"a {'a' * 500} a {'a1' * 60}.", 620),
        (f"{'a' * 90}+{'a' * 90}_{'a' * 90}", 0),
        ("东" * 500, 0),
        ("東a" * 100, 0),
        ("ก" * 101, 101),
        ("あ" * 150, 150),
        ("ä" * 101, 101),
    ],
)
def test_the_words_that_are_counted_are_those_that_become_unknown(text: str, expected: int) -> None:
    tokenizer = Tokenizer(WordPiece({piece: number for number, piece in enumerate(_PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    assert LongWords(tokenizer).count(text) == expected
    # The vocabulary has every character but one Chinese one, so only length makes a word unknown.
    num_unknown = tokenizer.encode(text.replace("東", "东"), add_special_tokens=False).tokens.count("[UNK]")
    assert (num_unknown > 0) == (expected > 0)


def test_a_vocabulary_that_takes_any_word_has_none_that_is_too_long() -> None:
    assert LongWords(Tokenizer(BPE())).count("a" * 500) == 0
