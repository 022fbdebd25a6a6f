"""JSON that is not a value a line: an array of records, or records printed over several lines, one after the other.

The values are cut out of the stream with the parser of the standard library, which keeps at most one of them and a
piece of the file in memory, and are sent to the workers as JSON lines. A record is an object, or a string, which is a
text by itself. An object that holds the array of records is refused: which of its keys are records, only its author
knows.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Block, ReadResult, TooLong
from bertd.data.sources.readers.rows.json_envelopes import describe_envelope
from bertd.data.sources.readers.rows.jsonl import JsonLines
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.errors import CorpusError

_PIECE_BYTES = 1 << 16
_DECODER = json.JSONDecoder(parse_int=float)  # Python refuses to parse integers of more than 4,300 digits.
_BETWEEN = re.compile(r"[ \t\r\n,]*")
"""Between two values; a comma is what an array has there, and some files without one."""
_TOKEN = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_LONGEST_TOKEN = 16
"""A syntax error so close to the end of what was read may be a value that is cut there, as `fals`."""


class _IncompleteError(Exception):
    """The value goes on after what was read."""


@dataclass(frozen=True)
class JsonValues:
    """Reads one field of each record."""

    text_field: str = "text"
    row_filter: RowFilter = RowFilter()

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """The records as JSON lines.

        Raises:
            CorpusError: the file is not complete JSON, or its records are in an array within an object.
        """
        cutter = _ValueCutter(stream, place=str(getattr(stream, "name", "JSON")), text_field=self.text_field)
        lines = _Lines(map(self._make_line, cutter.values()), name=cutter.place)
        for block in self._line_reader.blocks(lines, block_bytes=block_bytes):
            yield cutter.too_long.take_block(block.content)
        if cutter.too_long.documents:
            yield cutter.too_long.take_block(b"")

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document for each record."""
        return self._line_reader.documents(content)

    @property
    def _line_reader(self) -> JsonLines:
        return JsonLines(text_field=self.text_field, row_filter=self.row_filter)

    def _make_line(self, value: str) -> bytes:
        if value.startswith('"'):
            value = f"{{{json.dumps(self.text_field)}: {value}}}"
        # A line break within a string is escaped, so each of these is only layout.
        line = value.replace("\n", " ").replace("\r", " ")
        return line.encode("utf-8", "surrogateescape") + b"\n"


class _Lines:
    """Lines as a stream."""

    def __init__(self, lines: Iterator[bytes], *, name: str) -> None:
        self.name = name
        self._lines = lines

    def read(self, num_bytes: int, /) -> bytes:
        """Complete lines, together as long as asked for or longer; empty at the end."""
        taken: list[bytes] = []
        size = 0
        while size < num_bytes and (line := next(self._lines, b"")):
            taken.append(line)
            size += len(line)
        return b"".join(taken)


class _ValueCutter:
    """Cuts the values out of a stream, those of arrays one by one."""

    def __init__(self, stream: BinaryIO, *, place: str, text_field: str) -> None:
        self._stream = stream
        self.place = place
        self._text_field = text_field
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._position = 0
        self._is_end = False
        self._number = 0
        """Of the value that is read, from 1."""
        self.too_long = TooLong()

    def values(self) -> Iterator[str]:
        """The text of each value, in order.

        Raises:
            CorpusError: see JsonValues.blocks.
        """
        is_in_array = False
        while True:
            self._skip()
            if self._position == len(self._text):
                if is_in_array:
                    raise CorpusError(self._unclosed_message("the array"))
                return
            character = self._text[self._position]
            if not is_in_array and character == "[":
                is_in_array = True
                self._position += 1
            elif is_in_array and character == "]":
                is_in_array = False
                self._position += 1
            else:
                self._number += 1
                value = self._cut_value(is_top=not is_in_array)
                if value is None:
                    continue
                if self._number == 1 and not is_in_array:
                    self._skip()
                    if self._position == len(self._text):
                        self._refuse_envelope(value)
                yield value

    def _skip(self) -> None:
        while True:
            match = _BETWEEN.match(self._text, self._position)
            assert match is not None
            self._position = match.end()
            if self._position < len(self._text) or not self._read_more():
                return

    def _read_more(self) -> bool:
        """Append to the text as much as it holds, so that a long value costs no more than twice its length."""
        if self._is_end:
            return False
        self._text = self._text[self._position :]
        self._position = 0
        piece = self._stream.read(max(_PIECE_BYTES, len(self._text)))
        self._is_end = not piece
        self._text += self._decoder.decode(piece, self._is_end)
        return not self._is_end

    def _cut_value(self, *, is_top: bool) -> str | None:
        """The text of the value at the position, or None if it is too long.

        Raises:
            CorpusError: it is not complete JSON.
        """
        while True:
            try:
                end = self._find_end()
            except _IncompleteError:
                if self._is_end:
                    raise CorpusError(self._unclosed_message(f"record {self._number:,}")) from None
                if len(self._text) - self._position <= MAX_DOCUMENT_BYTES:
                    self._read_more()
                    continue
                if is_top and self._number == 1:
                    self._refuse_envelope(self._text[self._position :])
                self._skip_value()
                return None
            value = self._text[self._position : end]
            self._position = end
            return value

    def _unclosed_message(self, what: str) -> str:
        return f"{self.place}: {what} is never closed; the copy is incomplete: fetch it again"

    def _find_end(self) -> int:
        """Where the value at the position ends.

        Raises:
            _IncompleteError: not in what was read.
            CorpusError: it is not JSON.
        """
        try:
            value, end = _DECODER.raw_decode(self._text, self._position)
        except json.JSONDecodeError as error:
            seen = len(self._text.rstrip()) if self._is_end else len(self._text) - _LONGEST_TOKEN
            if error.msg.startswith("Unterminated string") or error.pos >= seen:
                raise _IncompleteError from error
            raise CorpusError(
                f"{self.place}: record {self._number:,} is not JSON: {error.msg}; fix the file, or fetch it again"
            ) from error
        except RecursionError as error:
            raise CorpusError(f"{self.place}: record {self._number:,} is nested too deeply; fix the file") from error
        if isinstance(value, float) and not self._is_end and end > len(self._text) - _LONGEST_TOKEN:
            # A number may go on, as `-1` in `-1.5e3`.
            raise _IncompleteError
        return end

    def _refuse_envelope(self, text: str) -> None:
        message = describe_envelope(text, text_field=self._text_field, place=self.place)
        if message is not None:
            raise CorpusError(message)

    def _skip_value(self) -> None:
        """Read past the end of a value that is too long, by its brackets and quotes.

        Raises:
            CorpusError: the file ends within it.
        """
        depth, is_in_string = 0, False
        self.too_long.begin(self._text[self._position :].encode("utf-8", "surrogateescape"))
        while True:
            for token in _TOKEN.finditer(self._text, self._position):
                if token[0] == '"':
                    is_in_string = not is_in_string
                elif not is_in_string and len(token[0]) == 1:
                    depth += 1 if token[0] in "{[" else -1
                if not depth and not is_in_string:
                    after = TooLong()
                    after.add(self._text[token.end() :].encode("utf-8", "surrogateescape"))
                    self.too_long.characters -= after.characters
                    self._position = token.end()
                    return
            # An escape may be cut at the end of what was read.
            held = (len(self._text) - len(self._text.rstrip("\\"))) % 2
            self._position = len(self._text) - held
            if not self._read_more():
                raise CorpusError(self._unclosed_message(f"record {self._number:,}"))
            self.too_long.add(self._text[held:].encode("utf-8", "surrogateescape"))
