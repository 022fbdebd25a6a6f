"""Project Gutenberg's marks, of three generations, in files of one book or several."""

from __future__ import annotations

import itertools

import pytest

from bertd.data.sources.readers.document import Document
from bertd.data.sources.readers.gutenberg import split_books
from bertd.data.sources.readers.left_out import SkipReason
from bertd.data.sources.readers.lines import TextLines
from bertd.data.sources.readers.text import TextBlocks, TextFiles
from tests.data.sources.readers.checked import readings, results

_LICENCE = "Section 1. General Terms of Use\n\nYou may copy it.\n\nThis website has how to hear about new\neBooks.\n\n"
_MODERN = (
    "The Project Gutenberg eBook of {0}\n\nTitle: {0}\n\n*** START OF THE PROJECT GUTENBERG EBOOK {0} ***\n\n"
    "Here begins {0}. It continues.\n\n*** END OF THE PROJECT GUTENBERG EBOOK {0} ***\n\n" + _LICENCE
)
_LONG_TITLE = (
    "*** START OF THIS PROJECT GUTENBERG EBOOK {0},\nOR THE LONG TITLE ***\n\nHere begins {0}. It continues.\n\n"
    "End of the Project Gutenberg EBook of {0}\n\n***END OF THIS PROJECT GUTENBERG EBOOK {0}***\n" + _LICENCE
)
_SMALL_PRINT = (
    "**The Project Gutenberg Etext of {0}**\n\nCopyright laws are changing all over the world.\n\n"
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this here?\n"
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\nHere begins {0}. It continues.\n\n"
    "End of Project Gutenberg's {0}\n\n"
)
_UNENDED = _SMALL_PRINT.partition("End of Project")[0]
_FORMS = {"modern": _MODERN, "long title": _LONG_TITLE, "small print": _SMALL_PRINT, "unended": _UNENDED}


def book(title: str) -> str:
    return f"Here begins {title}. It continues."


@pytest.mark.parametrize("forms", [*itertools.product(_FORMS, repeat=1), *itertools.product(_FORMS, repeat=3)])
def test_each_book_of_a_file_is_a_document_and_nothing_else_is(forms: tuple[str, ...]) -> None:
    titles = [f"BOOK {number}" for number in range(len(forms))]
    content = "".join(_FORMS[form].format(title) for form, title in zip(forms, titles, strict=True))
    read = results(TextFiles(), content.encode())
    assert [one.text for one in read if isinstance(one, Document)] == list(map(book, titles))
    assert sum(one.read for one in read) == len(content)


def test_what_is_around_the_books_is_counted_and_the_parts_are_the_file() -> None:
    text = "".join(form.format("X") for form in _FORMS.values())
    assert "".join(one.before + one.text + one.after for one in split_books(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "An article about Project Gutenberg.\nIt has many books.",
        "The Project Gutenberg Etext of X\nis the first line of a book without marks.",
        "A story.\n\nThe Project Gutenberg EBook of Y is on the shelf.\n\nThe end of the story.",
    ],
)
def test_a_text_that_only_names_the_project_is_kept(text: str) -> None:
    assert [str(one).replace("\n", " ") for one in readings(TextFiles(), text.encode())] == [" ".join(text.split())]


def test_a_long_text_before_the_first_mark_is_a_book_and_no_header() -> None:
    story = "A line of a book that has no marks at all, and is long. " * 600
    text = f"{story}\n\n{_MODERN.format('X')}"
    assert readings(TextFiles(), text.encode()) == [story.strip(), book("X")]


def test_a_mark_that_opens_nothing_leaves_no_text() -> None:
    text = "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\n"
    assert readings(TextFiles(), text.encode()) == [""]


@pytest.mark.parametrize("block_bytes", [1, 50, 200, 1 << 20])
@pytest.mark.parametrize("reader", [TextLines(), TextBlocks()], ids=["lines", "text-blocks"])
def test_the_lines_and_the_blocks_of_books_are_read_without_the_licences_between_them(
    reader: TextLines | TextBlocks, block_bytes: int
) -> None:
    titles = [f"BOOK {number}" for number in range(4)]
    content = "".join(form.format(title) for form, title in zip(_FORMS.values(), titles, strict=True))
    read = readings(reader, content.encode(), block_bytes=block_bytes)
    assert [one for one in read if isinstance(one, str)] == list(map(book, titles))
    assert set(read) - set(map(book, titles)) == {SkipReason.HEADER}


def test_a_text_that_follows_a_licence_or_the_end_of_a_book_is_kept() -> None:
    story = "A line of another book that has no marks at all, and is long. " * 600
    assert readings(TextFiles(), f"{_MODERN.format('X')}{story}".encode()) == [book("X"), story.strip()]
    unlicensed = _SMALL_PRINT.format("X") + story
    assert readings(TextFiles(), unlicensed.encode()) == [book("X"), story.strip()]
    read = readings(TextLines(), unlicensed.encode())
    assert [one for one in read if isinstance(one, str)] == [book("X"), story.strip()]
