"""CoNLL's columns are read as their users write them, and a damaged line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.errors import CorpusError
from bertd.glue.data.tagged import TaggedSentence, read_tagged
from bertd.records import LAST_COLUMN


def _read(
    tmp_path: Path, content: str | bytes, *, text: str = "1", label: str | None = LAST_COLUMN
) -> list[TaggedSentence]:
    path = tmp_path / "data.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_tagged(path, text=text, label=label)


_TWO = [TaggedSentence(("EU", "rejects"), ("B-ORG", "O")), TaggedSentence(("Peter",), ("B-PER",))]


@pytest.mark.parametrize(
    "content",
    [
        "EU B-ORG\nrejects O\n\nPeter B-PER\n",
        "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER",
        "\ufeff-DOCSTART- O\n\nEU  B-ORG \nrejects\t O\n  \t\n\n\nPeter B-PER\n\n",
        "EU NNP I-NP B-ORG\r\nrejects VBZ I-VP O\r\n\r\nPeter NNP I-NP B-PER\r\n",
        "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n-DOCSTART- -X- O O\nPeter NNP I-NP B-PER\n",
        "-DOCSTART- -X- O O\n\nEU\tB-ORG\nrejects\tO\n\n-DOCSTART-\tO\n\nPeter\tB-PER\n",
        "# text = EU rejects\n# id 7\nEU\tB-ORG\nrejects\tO\n\n# id\nPeter\tB-PER\n",
    ],
)
def test_tabs_spaces_documents_comments_and_blank_lines_are_read(tmp_path: Path, content: str) -> None:
    assert _read(tmp_path, content) == _TWO


def test_other_columns_are_named_by_their_number(tmp_path: Path) -> None:
    assert _read(tmp_path, "1 a X O\n2 b Y O\n", text="2", label="3") == [TaggedSentence(("a", "b"), ("X", "Y"))]
    assert _read(tmp_path, "1 a\n\n", text="2", label=None) == [TaggedSentence(("a",), ())]


def test_words_may_be_signs_of_comments_and_with_tabs_have_spaces(tmp_path: Path) -> None:
    assert _read(tmp_path, "# O\n#tag B-X\n") == [TaggedSentence(("#", "#tag"), ("O", "B-X"))]
    assert _read(tmp_path, "New York\tB-LOC\n\u2028x\tO\n")[0].words == ("New York", "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb\n", "line 2: 1 columns, but 2 in the first"),
        ("a O\n# broken line\n", "line 2: 3 columns, but 2"),
        ("a\tO\n\tO\n", "line 2: the word is empty"),
        ("a\tO\nb\t\n", "line 2: the tag is empty"),
        ("", "no sentence in it"),
        ("\n-DOCSTART- O\n\n", "no sentence in it"),
        (b"a O\n\xff\xe9 O\n", "line 2: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        _read(tmp_path, content)


@pytest.mark.parametrize("column", ["0", "3", "-1", "word", "²"])
def test_a_column_that_is_not_there_is_refused(tmp_path: Path, column: str) -> None:
    with pytest.raises(CorpusError, match="give a number from 1 to 2 with --label"):
        _read(tmp_path, "a O\n", label=column)


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"absent\.conll: cannot read: No such file"):
        read_tagged(tmp_path / "absent.conll", text="1", label=None)
