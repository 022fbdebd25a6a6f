"""What a report says of a source whose numbers show a fault."""

from __future__ import annotations

import pytest

from bertd.data.dataset.text_quality import SourceQuality


@pytest.mark.parametrize(("unknown", "is_remarked"), [(0, False), (10, False), (100, True), (200, True)])
def test_a_vocabulary_that_does_not_fit_the_text_is_remarked_on(unknown: int, is_remarked: bool) -> None:
    quality = SourceQuality(
        characters=800,
        letters=600,
        ascii_letters=600,
        words=200,
        tokens=200,
        unknown=unknown,
        document_tokens=None,
        sentence_tokens=None,
    )
    remarks = [line for line in quality.remarks() if f"no pieces for {unknown / 200:.1%} of the tokens" in line]
    assert len(remarks) == is_remarked == len(quality.remarks())


@pytest.mark.parametrize(("num_characters", "is_remarked"), [(None, False), (0, False), (9, False), (500_000, True)])
def test_long_words_that_became_unknown_tokens_are_remarked_on(num_characters: int | None, is_remarked: bool) -> None:
    quality = SourceQuality(
        characters=1_000_000,
        letters=900_000,
        ascii_letters=900_000,
        words=100_000,
        tokens=100_000,
        unknown=1,
        document_tokens=None,
        sentence_tokens=None,
        long_word_characters=num_characters,
    )
    assert [line.startswith("long words: 50.0% of the characters") for line in quality.remarks()] == [
        True
    ] * is_remarked
