"""Text files as streams of UTF-8, whatever they are written in; the encoding is decided once for a file.

A byte order mark decides, and so does text beyond ASCII that is valid UTF-8. Anything else is in the encoding that the
user names, or else UTF-8, where the readers leave out and count what is not valid. What decodes is not believed: NUL
and many control characters are UTF-16 without its mark, or no text.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, BinaryIO

HEAD_BYTES = 1 << 16
"""Bytes at the beginning of a file that decide its encoding and its format."""

_MARKS = (
    # UTF-32 first: its mark in little endian begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF_8 = "utf-8"
_WIDE = ("utf-16", "utf-32")
_LATIN_1 = codecs.lookup("latin-1").name
_INVALID = "bertd-invalid"
"""Name of the error handler that turns what cannot be decoded into bytes that are not UTF-8, for readers to find."""
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n\v\f\r\x1a")
"""ASCII's control characters, but for those in texts: spaces, line breaks and the end of a file of DOS."""
_MAX_CONTROL_SHARE = 1e-2
"""UTF-16 without its mark has 9 % and more, measured in 96 languages; texts out of PDFs have some in a thousand."""
_MIN_SUGGESTION_CONFIDENCE = 0.15
"""Of chardet. Measured on translations in 24 languages and 27 encodings: it was wrong below 0.14 alone, in 4 of 152
texts, all of 400 characters; of those of 4,000 characters all were right, and above 0.32."""
_SUGGESTION_BYTES = 1 << 14
_BARE_RETURN = re.compile(rb"\r(?!\r*\n)")
"""The end of a line of old Macs; `\\r\\n` is left to the readers."""
_FEW_CHARACTERS = 200
"""Without a space, a line break or a full stop among so many characters, it is not text."""


def _mark_invalid(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return "\udcff", error.end
    assert isinstance(error, UnicodeEncodeError)
    return b"\xff", error.end


codecs.register_error(_INVALID, _mark_invalid)


def is_text_encoding(name: str) -> bool:
    """Whether Python decodes text by this name."""
    try:
        b"a".decode(name, "replace")
    except (LookupError, ValueError, TypeError):
        return False
    return True


@dataclass(frozen=True)
class FileEncoding:
    """What the beginning of a file shows."""

    name: str
    """Python's codec."""
    is_text: bool = True


def detect_encoding(head: bytes, *, named: str | None = None) -> FileEncoding:
    """Decide how a file is written.

    Args:
        head: the first HEAD_BYTES of it, or all.
        named: encoding of a file that shows none.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return _checked(head, name)
    if head.startswith(codecs.BOM_UTF8) or named is None or _is_utf8_despite(head, named):
        return FileEncoding(UTF_8, is_text=not has_controls(head))
    return _checked(head, "windows-1252" if codecs.lookup(named).name == _LATIN_1 else named)


def is_wide(name: str) -> bool:
    """Whether an encoding is UTF-16 or UTF-32."""
    return codecs.lookup(name).name.startswith(_WIDE)


def has_controls(content: bytes) -> bool:
    """Whether bytes in an encoding that holds ASCII have more control characters than a text has."""
    num_controls = len(content) - len(content.translate(None, _CONTROLS))
    return num_controls > 1 and num_controls > _MAX_CONTROL_SHARE * len(content)


def decode_head(head: bytes, encoding: FileEncoding) -> str:
    """The beginning of a file, without the character that its end cuts, and without a byte order mark."""
    text = codecs.getincrementaldecoder(encoding.name)(_INVALID).decode(head)
    return text.removeprefix("\ufeff")


def is_damaged_utf8(head: bytes) -> bool:
    """Whether text is UTF-8 in which some characters are damaged: more of those beyond ASCII are whole."""
    text = decode_head(head, FileEncoding(UTF_8))
    num_damaged = text.count("\udcff")
    return 0 < num_damaged < sum(not character.isascii() for character in text) - num_damaged


def suggest_encoding(head: bytes) -> str | None:
    """The encoding that a file which is not UTF-8 seems to have, for a person to check; None where none is likely."""
    if has_controls(head):
        return _suggest_wide(head)
    import chardet

    found = chardet.detect(head[:_SUGGESTION_BYTES])
    name = found["encoding"]
    if name is None or found["confidence"] < _MIN_SUGGESTION_CONFIDENCE or is_wide(name):
        return None
    return name.lower()


def _suggest_wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without its mark: the order of bytes in which the text has spaces or line breaks."""
    candidates = []
    for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        width = 4 if "32" in name else 2
        text = head[: len(head) - len(head) % width].decode(name, "replace")
        if _is_prose(text):
            candidates.append((_count_separators(text), name))
    return max(candidates)[1] if candidates and max(candidates)[0] else None


def _is_utf8_despite(head: bytes, named: str) -> bool:
    """Whether the text is valid UTF-8 where, in the encoding that the user named, it hardly ever is by chance.

    Text beyond ASCII is so in any encoding, and UTF-16 has control characters where it is.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not has_controls(head) if is_wide(named) else not head.isascii()


def _checked(head: bytes, name: str) -> FileEncoding:
    text = decode_head(head, FileEncoding(name))
    return FileEncoding(name, is_text=_is_prose(text) and (not is_wide(name) or _has_separators(text)))


def _has_separators(text: str) -> bool:
    """Whether a text has as many spaces, line breaks or full stops as one has in any script."""
    return len(text) < _FEW_CHARACTERS or _count_separators(text) * _FEW_CHARACTERS >= len(text)


def _count_separators(text: str) -> int:
    return sum(map(text.count, " \n\u3000\u3001\u3002"))


def _is_prose(text: str) -> bool:
    """Whether nearly all characters are assigned ones that a text may have."""
    odd = sum(
        unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn")
        for character in text[: HEAD_BYTES // 4]
        if character not in "\t\n\v\f\r\x1a\x85"
    )
    return odd <= 1 or odd <= _MAX_CONTROL_SHARE * min(len(text), HEAD_BYTES // 4)


def unify_bare_returns(content: bytes) -> bytes:
    """Text with a line feed for each carriage return that ends a line by itself; of the same length."""
    return _BARE_RETURN.sub(b"\n", content) if content.count(b"\r") > content.count(b"\r\n") else content


class Utf8Stream(io.RawIOBase):
    """A file's text as UTF-8, without a byte order mark, and without bare carriage returns.

    What cannot be decoded is a byte that is not UTF-8.
    """

    def __init__(self, head: bytes, rest: BinaryIO, *, encoding: FileEncoding, name: str) -> None:
        """Read `head`, which was taken from the file's beginning, and then `rest`."""
        self.name = name
        self._rest = rest
        self._ready = head
        self._held = b""
        """Carriage returns at the end of a piece: what follows decides what they are."""
        self._decoder: codecs.IncrementalDecoder | None = None
        if encoding.name == UTF_8:
            self._ready = self._unify(head.removeprefix(codecs.BOM_UTF8))
        else:
            self._decoder = codecs.getincrementaldecoder(encoding.name)(_INVALID)
            self._ready = self._unify(self._transcode(head))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            piece = self._rest.read(HEAD_BYTES)
            text = piece if self._decoder is None else self._transcode(piece, is_end=not piece)
            self._ready = self._unify(text, is_end=not piece)
            if not piece:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _unify(self, text: bytes, *, is_end: bool = False) -> bytes:
        text, self._held = self._held + text, b""
        if not is_end and text.endswith(b"\r"):
            whole = text.rstrip(b"\r")
            text, self._held = whole, text[len(whole) :]
        return unify_bare_returns(text)

    def _transcode(self, piece: bytes, *, is_end: bool = False) -> bytes:
        assert self._decoder is not None
        text = self._decoder.decode(piece, is_end)
        if is_end:
            self._decoder.reset()
        return text.encode("utf-8", _INVALID)


def open_utf8(stream: BinaryIO, *, named: str | None, name: str) -> tuple[BinaryIO | None, bytes]:
    """A stream of a file's text as UTF-8, or None if it is not text; and the bytes that decided it.

    Args:
        named: see detect_encoding.
        name: of the file.
    """
    head = stream.read(HEAD_BYTES)
    encoding = detect_encoding(head, named=named)
    if not encoding.is_text:
        return None, head
    return io.BufferedReader(Utf8Stream(head, stream, encoding=encoding, name=name), buffer_size=HEAD_BYTES), head
