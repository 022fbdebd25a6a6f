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
