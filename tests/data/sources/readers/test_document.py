"""Cutting streams into blocks, and cleaning text."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.data.sources.readers import document
from bertd.data.sources.readers.document import Reader, Skipped, SkipReason, clean, cut_blocks, decode
from bertd.data.sources.readers.lines import TextLines
from bertd.data.sources.readers.text import TextBlocks
from bertd.data.sources.readers.wiki.headings import Headings
from bertd.data.sources.readers.wiki.wikitext103 import WikiText103
from tests.data.sources.readers.checked import readings


@given(
    documents=st.lists(st.binary(max_size=30).map(lambda content: content.replace(b";", b"") + b";"), max_size=30),
    block_bytes=st.integers(min_value=1, max_value=50),
)
def test_blocks_are_the_stream_cut_between_documents(documents: list[bytes], block_bytes: int) -> None:
    blocks = list(cut_blocks(io.BytesIO(b"".join(documents)), ends=(b";",), block_bytes=block_bytes))
    assert b"".join(block.content for block in blocks) == b"".join(documents)
    boundaries = set(itertools.accumulate(map(len, documents)))
    assert set(itertools.accumulate(len(block.content) for block in blocks)) <= boundaries


@given(
    sizes=st.lists(st.integers(min_value=0, max_value=60), max_size=20),
    block_bytes=st.integers(min_value=1, max_value=25),
)
def test_a_document_longer_than_the_limit_is_counted_and_the_others_come_whole(
    sizes: list[int], block_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "MAX_DOCUMENT_BYTES", 25)
        documents = [bytes([65 + number]) * size + b"-;" for number, size in enumerate(sizes)]
        blocks = list(cut_blocks(io.BytesIO(b"".join(documents)), ends=(b"-;",), block_bytes=block_bytes))
    whole = [piece + b"-;" for block in blocks for piece in block.content.split(b"-;")[:-1]]
    assert all(block.content.endswith(b"-;") or not block.content for block in blocks)
    assert len(whole) + sum(block.too_long for block in blocks) == len(documents)
    assert set(whole) <= set(documents)
    # A document that is below the limit, wherever the pieces read end, is never lost.
    assert {one for one in documents if len(one) + block_bytes <= 25} <= set(whole)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\ufeffone\r\ntwo\rthree", "one\ntwo\nthree"),
        ("page\x0cpage\x0bline\x85next\u2028last\u2029", "page\npage\nline\nnext\nlast"),
        ("nul\x00byte", "nulbyte"),
        ("  plain  ", "plain"),
    ],
)
def test_every_kind_of_break_becomes_a_line_break(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        ("Ärger".encode(), "Ärger"),
        ("Ärger".encode("utf-8-sig"), "Ärger"),
        ("Ärger".encode("utf-16"), SkipReason.INVALID_UTF8),
        ("Ärger".encode("latin-1"), SkipReason.INVALID_UTF8),
    ],
)
def test_text_is_utf_8_with_or_without_its_mark(content: bytes, reading: object) -> None:
    decoded = decode(content)
    assert (decoded.reason if isinstance(decoded, Skipped) else clean(decoded)) == reading


@pytest.mark.parametrize(
    ("reader", "form"),
    [
        (TextLines(), b"%b\n"),
        (TextBlocks(), b"%b\n\n"),
        (Headings(), b"= = = A = = = %b\n"),
        (WikiText103(), b" = A = \n %b\n"),
    ],
    ids=["lines", "text-blocks", "headings", "wikitext103"],
)
def test_a_byte_that_is_not_utf_8_costs_one_document_and_no_other(reader: Reader, form: bytes) -> None:
    texts = [b"The mill stands.", b"The \xff water.", "Größer.".encode(), b"\xe2\x82"]
    read = readings(reader, b"".join(form % text for text in texts))
    assert read == ["The mill stands.", SkipReason.INVALID_UTF8, "Größer.", SkipReason.INVALID_UTF8]
