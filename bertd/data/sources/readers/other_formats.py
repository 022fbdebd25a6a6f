"""Files that hold something else than text, or more than the words that people wrote, by their first bytes."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePath

from bertd.data.sources.compression import is_tar_head, strip_compression_suffix

GIT_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_BINARY_FORMATS = (
    (re.compile(re.escape(GIT_LFS_POINTER)), "a pointer of Git LFS"),
    (re.compile(rb"PK\x03\x04.{26}(?:\[Content_Types\]\.xml|mimetype)", re.DOTALL), "an Office document or an e-book"),
    (re.compile(rb"PK\x05\x06"), "an empty zip archive"),
    (re.compile(rb"PK\x03\x04"), "a zip archive, as .docx, .xlsx and .epub are"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"%!PS-Adobe"), "PostScript"),
    (re.compile(rb"\{\\rtf"), "RTF"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old Office document"),
)
"""By their first bytes; part of a PDF and all of RTF would pass for text."""
_REMEDIES = {"a pointer of Git LFS": "fetch the file itself with git lfs pull"}
_NO_TEXT_FORMATS = (
    (re.compile(rb"\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\x00|\x28\xb5\x2f\xfd"), "compressed twice"),
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
        re.compile(
            rb"(?:(?:Return-Path|Received|Delivered-To|From|To|Cc|Subject|Date|Message-ID|MIME-Version|Content-[\w-]+"
            rb"|X-[\w-]+|Snapshot-Content-Location):[^\n]*\n(?:[ \t][^\n]*\n)*){3}",
            re.IGNORECASE,
        ),
        "an e-mail, whose headers",
    ),
    (
        re.compile(
            rb"\[?\d{1,4}[./-]\d{1,2}[./-]\d{2,4},? \d{1,2}:\d\d(?::\d\d)?(?:.{1,4}[ap]\.?m\.?)?"
            rb"(?:\]| -) [^:\n]{1,40}: ",
            re.IGNORECASE,
        ),
        "a chat or a log, whose times and names",
    ),
    (
        re.compile(rb"WEBVTT\b|\d+[ \t]*\r?\n\d{1,2}:\d\d:\d\d[,.]\d{1,3}[ \t]*-->|\[Script Info\]"),
        "subtitles, whose times",
    ),
    (re.compile(rb"(?i)<!DOCTYPE html|<html\b"), "HTML, whose tags"),
    (
        re.compile(
            rb"<\?xml\b(?![^>]*>\s*(?:<!--.*?-->\s*)*<mediawiki)|<(?!mediawiki)[A-Za-z][\w:.-]*\s[^<>]*\bxmlns",
            re.DOTALL,
        ),
        "XML, whose tags",
    ),
    (re.compile(rb"(?:%[^\n]*\n|\s)*\\document(?:class|style)\b"), "LaTeX, whose commands"),
    (
        re.compile(rb"---[ \t]*\r?\n(?:[\w-]+:|[ \t-])[^\n]*\n(?:(?!---)[^\n]*\n){0,60}---[ \t]*\r?\n"),
        "a page with front matter, whose fields",
    ),
    (re.compile(rb"(?:#[^\n]*\n)*1(?:-\d+)?(?:\t[^\t\n]+){9}\n|-DOCSTART-"), "CoNLL, whose columns"),
    (re.compile(rb"__label__\S+[ \t]"), "fastText's format, whose labels"),
    (re.compile(rb'(?:#[^\n]*\n)*msgid "'), "a file of translations, whose keys"),
)
"""Text by its bytes, with more in it than words."""
_HTML_END_TAG = re.compile(rb"</(?:p|div|span|a|li|ul|td|tr|table|h[1-6]|strong|em|b|i)>", re.IGNORECASE)
_MIN_HTML_END_TAGS = 10
"""So many in the beginning of a file are no accident."""
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")
_TAGGED_SUFFIXES = {
    ".tex": "LaTeX, whose commands",
    ".bib": "a bibliography, whose fields",
    ".yaml": "YAML, whose keys",
    ".yml": "YAML, whose keys",
    ".svg": "a drawing, whose tags",
}
"""By their names; their content begins in too many ways."""


def describe_binary(head: bytes, *, is_text: bool) -> str | None:
    """What a file is, of the formats that are no text; None where its first bytes are of none that is known.

    Args:
        is_text: whether its bytes would pass for text.
    """
    formats = _BINARY_FORMATS if is_text else (*_BINARY_FORMATS, *_NO_TEXT_FORMATS)
    if found := next((what for magic, what in formats if magic.match(head)), None):
        return found
    return "a tar within an archive" if is_tar_head(head) else None


def remedy_for(what: str) -> str:
    """What to do with a file of a format that `describe_binary` names."""
    return _REMEDIES.get(what, "unpack it, or convert it to text, first")


def describe_tagged(name: str, head: bytes) -> str | None:
    """What a file is that holds more than text; HTML is named when it is found by its name."""
    if PurePath(strip_compression_suffix(name)).suffix.lower() in _HTML_SUFFIXES:
        return None
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if found := next((what for opening, what in _TAGGED_FORMATS if opening.match(begin)), None):
        return found
    # WikiExtractor leaves tags of links, which its reader takes out.
    is_extracted = begin.startswith(b"<doc ")
    has_tags = not is_extracted and len(_HTML_END_TAG.findall(head)) >= _MIN_HTML_END_TAGS
    if has_tags:
        return "full of HTML, whose tags"
    return _TAGGED_SUFFIXES.get(PurePath(strip_compression_suffix(name)).suffix.lower())
