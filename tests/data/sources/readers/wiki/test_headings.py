"""Articles under `= = = Title = = =`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.data.sources.readers.wiki.headings import Headings
from tests.data.sources.readers.checked import readings

_TEXT = (
    "end of an article. = = = First = = = Its text, where a = b. = = = Second (x) = = = More\ntext.\n"
    "= = = Third = = =\nLast text == here."
)


@pytest.mark.parametrize("block_bytes", [1, 7, 40, 1 << 20])
def test_titles_part_articles_wherever_they_stand(block_bytes: int) -> None:
    assert readings(Headings(), _TEXT.encode(), block_bytes=block_bytes) == [
        "end of an article.",
        "Its text, where a = b.",
        "More\ntext.",
        "Last text == here.",
    ]


@pytest.mark.realdata
def test_the_simple_wikipedia_has_an_article_for_each_title(real_data: Path) -> None:
    (path,) = (real_data / "simplewiki").iterdir()
    content = path.read_bytes()
    titles = [piece for piece in content.decode().split(" = = = ")[1::2] if "=" not in piece]
    texts = readings(Headings(), content, block_bytes=100_000)
    assert abs(len(texts) - len(titles)) < 0.01 * len(titles)
    # Where the file's makers cut pieces together, half a heading is left.
    assert sum("= = =" in str(text) for text in texts) < 10
