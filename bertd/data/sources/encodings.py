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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

HEAD_BYTES = 1 << 16
"""Bytes at the beginning of a file that decide its encoding and its format."""
HINT_BYTES = 1 << 14
"""Bytes by which an encoding is guessed."""

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
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n\v\f\r\x1a\x1e")
"""ASCII's control characters, but for those in texts: spaces, line breaks, the end of a file of DOS, and what parts
records."""
_MAX_CONTROL_SHARE = 1e-2
"""UTF-16 without its mark has 9 % and more, measured in 96 languages; texts out of PDFs have some in a thousand."""
_BARE_RETURN = re.compile(rb"\r(?!\r*\n)")
"""The end of a line of old Macs; `\\r\\n` is left to the readers."""
_SEQUENCE_BEGIN = re.compile(rb"\x1e[ \t\r\n]*[\[{\"]")
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
    return FileEncoding(name, is_text=is_prose(text) and (not is_wide(name) or _has_separators(text)))


def _has_separators(text: str) -> bool:
    """Whether a text has as many spaces, line breaks or full stops as one has in any script."""
    return len(text) < _FEW_CHARACTERS or count_separators(text) * _FEW_CHARACTERS >= len(text)


def count_separators(text: str) -> int:
    """Spaces, line breaks and full stops."""
    return sum(map(text.count, " \n\u3000\u3001\u3002"))


def is_prose(text: str) -> bool:
    """Whether nearly all characters are assigned ones that a text may have."""
    odd = sum(
        unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn")
        for character in text[: HEAD_BYTES // 4]
        if character not in "\t\n\v\f\r\x1a\x85"
    )
    return odd <= 1 or odd <= _MAX_CONTROL_SHARE * min(len(text), HEAD_BYTES // 4)


def unify_breaks(content: bytes, *, is_sequence: bool) -> bytes:
    """Text with a line feed for each carriage return that ends a line by itself; of the same length.

    Args:
        is_sequence: see is_json_sequence; then also one for each mark between two records.
    """
    if content.count(b"\r") > content.count(b"\r\n"):
        content = _BARE_RETURN.sub(b"\n", content)
    return content.replace(b"\x1e", b"\n") if is_sequence else content


def is_json_sequence(begin: bytes) -> bool:
    """Whether a text that begins so has RFC 7464's mark before each record of JSON."""
    return _SEQUENCE_BEGIN.match(begin) is not None


class Utf8Stream(io.RawIOBase):
    """A file's text as UTF-8, without a byte order mark, bare carriage returns and the marks of JSON sequences.

    What cannot be decoded is a byte that is not UTF-8.
    """

    def __init__(
        self,
        head: bytes,
        rest: BinaryIO,
        *,
        encoding: FileEncoding,
        name: str,
        on_invalid: Callable[[bytes], None] | None = None,
    ) -> None:
        """Read `head`, which was taken from the file's beginning, and then `rest`.

        Args:
            on_invalid: called once, where a file is not the UTF-8 that it seems to be, with what is around that place.
        """
        self.name = name
        self._rest = rest
        self._unchecked = head
        self._on_invalid = on_invalid if encoding.name == UTF_8 else None
        self._checker = codecs.getincrementaldecoder("utf-8")()
        self._held = b""
        """Carriage returns at the end of a piece: what follows decides what they are."""
        self._decoder: codecs.IncrementalDecoder | None = None
        if encoding.name == UTF_8:
            text = head.removeprefix(codecs.BOM_UTF8)
        else:
            self._decoder = codecs.getincrementaldecoder(encoding.name)(_INVALID)
            text = self._transcode(head)
        self._is_sequence = is_json_sequence(text)
        self._ready = self._unify(text)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._unchecked:
            # Not before the text is read: until then, it may turn out to be of another format.
            self._check(self._unchecked)
            self._unchecked = b""
        while not self._ready:
            piece = self._rest.read(HEAD_BYTES)
            self._check(piece)
            text = piece if self._decoder is None else self._transcode(piece, is_end=not piece)
            self._ready = self._unify(text, is_end=not piece)
            if not piece:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _check(self, piece: bytes) -> None:
        if self._on_invalid is None:
            return
        try:
            self._checker.decode(piece)
        except UnicodeDecodeError as error:
            # As much before the place as after it, for a guess at the encoding.
            self._on_invalid(error.object[max(0, error.start - HINT_BYTES // 2) :])
            self._on_invalid = None

    def _unify(self, text: bytes, *, is_end: bool = False) -> bytes:
        text, self._held = self._held + text, b""
        if not is_end and text.endswith(b"\r"):
            whole = text.rstrip(b"\r")
            text, self._held = whole, text[len(whole) :]
        return unify_breaks(text, is_sequence=self._is_sequence)

    def _transcode(self, piece: bytes, *, is_end: bool = False) -> bytes:
        assert self._decoder is not None
        text = self._decoder.decode(piece, is_end)
        if is_end:
            self._decoder.reset()
        return text.encode("utf-8", _INVALID)


def open_utf8(
    stream: BinaryIO, *, named: str | None, name: str, on_invalid: Callable[[bytes], None] | None = None
) -> tuple[BinaryIO | None, bytes]:
    """A stream of a file's text as UTF-8, or None if it is not text; and the bytes that decided it.

    Args:
        named: see detect_encoding.
        name: of the file.
        on_invalid: see Utf8Stream.
    """
    head = stream.read(HEAD_BYTES)
    encoding = detect_encoding(head, named=named)
    if not encoding.is_text:
        return None, head
    text = Utf8Stream(head, stream, encoding=encoding, name=name, on_invalid=on_invalid)
    return io.BufferedReader(text, buffer_size=HEAD_BYTES), head
