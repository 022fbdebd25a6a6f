"""WikiText's form, in all its variants."""

from __future__ import annotations

import pytest

from bertd.data.sources.readers.document import Document
from bertd.data.sources.readers.left_out import SkipReason
from bertd.data.sources.readers.wiki.wikitext103 import WikiText103, is_wikitext103
from tests.data.sources.readers.checked import readings, results

_TEXT = """
 = Valkyria Chronicles III =

 Senjō no Valkyria 3 : <unk> Chronicles is a role @-@ playing game of 1 @,@ 000 yen and 2 @.@ 5 stars .
 = = Gameplay = =

 As with its predecessors , a = b .
 = = = Third <unk> level = = =

 More text = = here .

 = Tower = Building =

 The Tower Building of the Little Rock Arsenal stands there .
"""
_ARTICLES = [
    "Senjō no Valkyria 3 : Chronicles is a role-playing game of 1,000 yen and 2.5 stars .\n"
    "As with its predecessors , a = b .\nMore text = = here .",
    "The Tower Building of the Little Rock Arsenal stands there .",
]


def without_blank_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip())


@pytest.mark.parametrize("block_bytes", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", " \n", "\r\n"])
@pytest.mark.parametrize(
    "variant", [str, without_blank_lines, lambda text: text.replace("= = Gameplay = =", "== Game ==")]
)
def test_an_article_is_a_document_without_headings_however_it_is_written(
    block_bytes: int, newline: str, variant: type[str]
) -> None:
    content = variant(_TEXT).replace("\n", newline)
    assert readings(WikiText103(), content.encode(), block_bytes=block_bytes) == _ARTICLES


def test_headings_and_unknown_words_are_counted_as_what_they_are() -> None:
    read = results(WikiText103(), _TEXT.encode())
    first, second = (one for one in read if isinstance(one, Document))
    assert first.read + second.read == len(_TEXT)
    # The space before the first of them is removed with those around the text.
    headings = (" = Valkyria Chronicles III =\n", " = = Gameplay = =\n", " = = = Third <unk> level = = =\n")
    assert first.left_out.characters[SkipReason.TITLE] == sum(map(len, headings)) - 1
    assert first.left_out.characters[SkipReason.UNKNOWN_WORD] == len(" <unk>")
    assert first.left_out.characters[SkipReason.MARKUP] == 3 * len("@-@ ")
    assert second.left_out.characters[SkipReason.TITLE] == len(" = Tower = Building =")


def test_the_end_of_an_article_that_begins_elsewhere_is_a_document() -> None:
    content = " the end of it .\n = = Section = =\n More .\n = Title =\n Text .\n"
    assert readings(WikiText103(), content.encode()) == ["the end of it .\nMore .", "Text ."]


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ("\n = Title = \n\n text\n", True),
        (" text of an article\n = = Section = = \n more\n", True),
        (" text with a well @-@ known trait\n", True),
        ("= Title =\n\n== Section ==\ntext", True),
        ("text. = = = Title = = = More text.", False),
        ("= = = Title = = =\nText.", False),
        ("a = b = c\nplain text\n", False),
        ("mail me @ home\n", False),
        ("== Section ==\n", False),
    ],
)
def test_the_form_is_known_from_any_part_of_a_file(begin: str, expected: bool) -> None:
    assert is_wikitext103(begin.encode()) is expected
