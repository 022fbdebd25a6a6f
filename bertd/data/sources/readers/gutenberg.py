"""Project Gutenberg's marks: what is between them is a book, the rest is its header and its licence.

Three generations of marks are known, and a file may hold several books:

    *** START OF THE PROJECT GUTENBERG EBOOK X ***  ...  *** END OF THE PROJECT GUTENBERG EBOOK X ***
    ***START**THE SMALL PRINT!...  (the licence)  *END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*
    The Project Gutenberg Etext of X  (the header, if one of the above that opens a book comes next)
    ... to subscribe to our email newsletter to hear about new eBooks.  (the last words of the licence)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A title may continue on the next lines: a mark ends at its stars, or at a blank line.
_REST = r"(?:(?!\n[ \t]*\n).)*?(?:\*{3,}|(?=\n[ \t]*\n)|\Z)"
_BEFORE_BOOK = ("begin", "licence")
_MAX_HEADER_CHARACTERS = 20_000
"""What is longer is not a header but a book without marks."""
_MAX_LICENCE_CHARACTERS = 30_000
"""Project Gutenberg's has some 19,000; what is longer is text again, of a book without a mark that opens it."""
_HINTS = (b"gutenberg", b"small print")
"""Lower case; each mark has one of them."""
_MARK = re.compile(
    rf"""
    ^[ \t]*(?:
      (?P<begin>
        \*{{2,}}[ ]?START[ ]OF[ ](?:THE|THIS)[ ]PROJECT[ ]GUTENBERG{_REST}
        | \*END[ *]+(?:OF[ ])?THE[ ]SMALL[ ]PRINT[^\n]*
        | [^\n]*\bhear\s+about\s+new\s+eBooks\b[^\n]*
      )
      | (?P<end>
        \*{{2,}}[ ]?END[ ]OF[ ](?:THE|THIS)[ ]PROJECT[ ]GUTENBERG{_REST}
        | End[ ]of[ ](?:the[ ]|this[ ])?Project[ ]Gutenberg[^\n]*
      )
      | (?P<licence>\**[ ]?START[ *]+(?:OF[ ])?THE[ ]SMALL[ ]PRINT[^\n]*)
      | (?P<header>\**(?:The[ ])?Project[ ]Gutenberg(?:'s)?[ ](?:Etext|Ebook)\b[^\n]*)
    )
    """,
    re.MULTILINE | re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Book:
    """A book and what is around it; the parts of all books of a file, in order, are the file."""

    before: str
    """Its header."""
    text: str
    after: str
    """Its licence, and the header of the next book."""


def split_books(text: str) -> list[Book]:
    """The books of a file; a text without marks is one."""
    # On bytes, since it is done for every text: 30 times faster than a search that ignores case.
    spans = list(_split_at_marks(text)) if _may_have_marks(text.encode("utf-8", "replace")) else [(0, len(text))]
    # Nothing is left of the lines between two marks.
    spans = [span for span in spans if text[slice(*span)].strip()] or spans[:1] or [(len(text), len(text))]
    begins = [0, *(begin for begin, _ in spans[1:])]
    ends = [*begins[1:], len(text)]
    return [
        Book(before=text[first:begin], text=text[begin:end], after=text[end:last])
        for first, (begin, end), last in zip(begins, spans, ends, strict=True)
    ]


def cut_outside_licences(content: bytes, cut: int) -> int:
    """Where to cut a file, at `cut` or before, so that no header or licence that may end later is parted.

    Returns:
        0 if there is no such place yet.
    """
    first = max(0, cut - _MAX_LICENCE_CHARACTERS)
    # One character for each byte, as the marks are ASCII.
    tail = content[first:cut].decode("latin-1") if _may_have_marks(content[first:cut]) else ""
    place = cut
    for match in reversed(list(_MARK.finditer(tail))):
        # A mark that reaches to the end may continue after it.
        if match.lastgroup == "begin" and match.end() < len(tail):
            break
        place = first + match.start()
    return place


def _may_have_marks(content: bytes) -> bool:
    lowered = content.lower()
    return any(hint in lowered for hint in _HINTS)


def _split_at_marks(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each book."""
    marks = _find_marks(text)
    is_header = bool(marks) and marks[0].kind in _BEFORE_BOOK and marks[0].begin <= _MAX_HEADER_CHARACTERS
    begin: int | None = None if is_header else 0
    ends = [*(mark.begin for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        if begin is not None:
            yield begin, mark.begin
        is_text = mark.kind == "begin" or end - mark.end > _MAX_LICENCE_CHARACTERS
        begin = mark.end if is_text else None
    if begin is not None:
        yield begin, len(text)


@dataclass(frozen=True)
class _Mark:
    kind: str
    begin: int
    end: int


def _find_marks(text: str) -> list[_Mark]:
    """Marks in order; the line that opens a header stands for one only where a licence or a book begins soon after."""
    marks: list[_Mark] = []
    for match in reversed(list(_MARK.finditer(text))):
        mark = _Mark(str(match.lastgroup), *match.span())
        if mark.kind == "header":
            after = marks[-1] if marks else None
            if after is None or after.kind == "end" or after.begin - mark.end > _MAX_HEADER_CHARACTERS:
                continue
        marks.append(mark)
    return marks[::-1]
