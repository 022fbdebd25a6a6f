"""Files that hold something else than text, or more than the words that people wrote, by their first bytes."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePath

from bertd.data.sources.compression import is_tar_head, strip_compression_suffix

_BINARY_FORMATS = (
    (re.compile(rb"PK\x03\x04.{26}(?:\[Content_Types\]\.xml|mimetype)", re.DOTALL), "an Office document or an e-book"),
    (re.compile(rb"PK\x03\x04"), "a zip archive, as .docx, .xlsx and .epub are"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"%!PS-Adobe"), "PostScript"),
    (re.compile(rb"\{\\rtf"), "RTF"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old Office document"),
)
"""By their first bytes; part of a PDF and all of RTF would pass for text."""
_NO_TEXT_FORMATS = (
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive"),
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed as .lz4"),
    (re.compile(rb"LZIP\x01"), "compressed as .lz"),
    (re.compile(rb"\x1f[\x9d\xa0]"), "compressed as .Z"),
    (re.compile(rb"\x5d\x00\x00.{2}", re.DOTALL), "compressed as .lzma"),
    (re.compile(rb"\xff\x06\x00\x00sNaPpY"), "compressed as Snappy"),
    (re.compile(rb".{60}BOOKMOBI", re.DOTALL), "a book for Kindle"),
    (re.compile(rb"AT&TFORM"), "a DjVu document"),
    (re.compile(rb"SQLite format 3\x00"), "a database of SQLite"),
    (re.compile(rb"\x89HDF\r\n"), "an HDF5 file"),
    (re.compile(rb"\x93NUMPY"), "an array of NumPy"),
    (re.compile(rb"Obj\x01"), "an Avro file"),
    (re.compile(rb"ORC"), "an ORC file"),
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle of Python"),
    (re.compile(rb"\x89PNG\r\n|GIF8[79]a|\xff\xd8\xff|II\*\x00|MM\x00\*|RIFF.{4}WEBP", re.DOTALL), "an image"),
    (re.compile(rb"ID3[\x02-\x04]|OggS\x00|fLaC|RIFF.{4}WAVE|.{4}ftyp", re.DOTALL), "audio or video"),
)
"""By their first bytes, which a text may also begin with; they have control characters that it does not have."""
_TAGGED_FORMATS = (
    (re.compile(rb"WARC/\d"), "a WARC or WET file, whose headers"),
    (re.compile(rb"From \S+ .*\d{4}\r?\n>?[A-Z][\w-]*[: ]"), "a mailbox, whose headers"),
    (
        re.compile(rb"(?:WEBVTT\b|\d+[ \t]*\r?\n\d\d:\d\d:\d\d[,.]\d{3} --> |\[Script Info\])"),
        "subtitles, whose times",
    ),
    (re.compile(rb"(?i)<!DOCTYPE html|<html\b"), "HTML, whose tags"),
)
"""Text by its bytes, with more in it than words."""
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")


def describe_binary(head: bytes, *, is_text: bool) -> str | None:
    """What a file is, of the formats that are no text; None where its first bytes are of none that is known.

    Args:
        is_text: whether its bytes would pass for text.
    """
    formats = _BINARY_FORMATS if is_text else (*_BINARY_FORMATS, *_NO_TEXT_FORMATS)
    if found := next((what for magic, what in formats if magic.match(head)), None):
        return found
    return "a tar within an archive" if is_tar_head(head) else None


def describe_tagged(name: str, head: bytes) -> str | None:
    """What a file is that holds more than text; of HTML by its name, the user was told when it was found."""
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()
    found = next((what for opening, what in _TAGGED_FORMATS if opening.match(begin)), None)
    is_named = PurePath(strip_compression_suffix(name)).suffix.lower() in _HTML_SUFFIXES
    return None if is_named else found
