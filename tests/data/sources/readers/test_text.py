"""Plain text: files, blocks, hard wraps, Gutenberg's marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.data.sources.readers import document as document_module
from bertd.data.sources.readers import text as text_module
from bertd.data.sources.readers.text import TextBlocks, TextFiles, unwrap
from tests.data.sources.readers.checked import readings

_WRAPPED = """It was the best of times, it was the worst of times, it was
the age of wisdom, it was the age of foolishness, it was the
epoch of belief, it was the epoch of incredulity.

  There were a king with a large jaw and a queen with a plain
face, on the throne of England; there were a king with a well-
favoured jaw and a queen with a fair face.
   In both countries it was clearer than crystal to the lords
of the State preserves."""


def documents(content: bytes, reader: TextFiles | TextBlocks, *, block_bytes: int = 1 << 20) -> list[object]:
    return list(readings(reader, content, block_bytes=block_bytes))


def test_hard_wrapped_lines_are_rejoined_to_paragraphs() -> None:
    paragraphs = unwrap(_WRAPPED).split("\n")
    assert [paragraph[:9] for paragraph in paragraphs] == ["It was th", "There wer", "In both c"]
    assert paragraphs[0].endswith(
        "times, it was the age of wisdom, it was the age of foolishness, it was the epoch of "
        "belief, it was the epoch of incredulity."
    )
    assert "a well-favoured jaw" in paragraphs[1]


def test_wrapped_lines_of_a_script_without_spaces_are_joined_without_one() -> None:
    sentence = "東京都は日本の首都であり人口が最も多い都市である。大阪府は西日本の中心である。"
    text = sentence * 12
    lines = [text[first : first + 35] for first in range(0, len(text), 35)]
    assert unwrap("\n".join(lines)) == text


@pytest.mark.parametrize(
    "text",
    [
        "A paragraph a line, however long it may be: " + "word " * 40 + "\nAnother one, as long: " + "word " * 40,
        "Roses are red\nViolets are blue\nSugar is sweet",
        "One line only.",
        "\n".join(f"Document {number} is a line of its own, and it ends a sentence there." for number in range(9)),
    ],
)
def test_lines_that_are_paragraphs_or_verses_stay(text: str) -> None:
    assert unwrap(text).split("\n") == [line.strip() for line in text.split("\n")]


def test_a_file_is_one_document_without_gutenbergs_marks() -> None:
    content = (
        "\ufeffThe Project Gutenberg eBook of X\n\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\nThe story.\n\n"
        "Its end.\n\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\n\nSection 1. General Terms"
    ).replace("\n", "\r\n")
    assert documents(content.encode(), TextFiles()) == ["The story.\nIts end."]


@pytest.mark.parametrize("block_bytes", [5, 17, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r\r\n"])
def test_blank_lines_part_documents_whatever_the_blocks(block_bytes: int, newline: str) -> None:
    content = "\ufeffone\nstill one\n\n\n  \ntwo\n\nthree\n\n".replace("\n", newline)
    assert documents(content.encode(), TextBlocks(), block_bytes=block_bytes) == ["one\nstill one", "two", "three"]


@pytest.mark.parametrize("blank", ["\n\n", "\n \t\n", "\r\n\r\n", "\r\r\n\r\r\n", "\r\n  \r\n"])
@pytest.mark.parametrize("block_bytes", [1, 7, 30])
def test_documents_of_a_file_above_the_limit_are_parted_by_any_blank_line(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int, blank: str
) -> None:
    monkeypatch.setattr(document_module, "MAX_DOCUMENT_BYTES", 60)
    expected = [f"document {number} is short" for number in range(40)]
    assert documents(blank.join(expected).encode(), TextBlocks(), block_bytes=block_bytes) == expected


def test_a_monstrous_file_is_cut_between_words_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_DOCUMENT_BYTES", 50)
    content = "grün fließt der Rhein " * 40
    pieces = [str(document) for document in documents(content.encode(), TextFiles())]
    assert len(pieces) > 10
    assert " ".join(" ".join(pieces).split()) == content.strip()


def test_a_line_without_a_space_is_cut_between_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_DOCUMENT_BYTES", 50)
    content = "ßüö漢" * 60
    assert "".join(str(document) for document in documents(content.encode(), TextFiles())) == content


@pytest.mark.realdata
def test_a_real_novel_has_its_paragraphs(real_data: Path) -> None:
    content = (real_data / "novels" / "Ford_Soldier_1915.txt").read_bytes()
    (novel,) = documents(content, TextFiles())
    paragraphs = str(novel).split("\n")
    assert paragraphs[0].startswith(
        "THIS IS THE SADDEST STORY I have ever heard. We had known the Ashburnhams for nine"
    )
    assert paragraphs[1].startswith("I don't  mean to say that we were not acquainted with many English people.")
    # No word is lost or added, except for those that a hyphen splits at a line's end.
    words = content.decode("utf-8-sig").split()
    rejoined = str(novel).split()
    assert 0 <= len(words) - len(rejoined) < 0.002 * len(words)
