"""Any reader of text, given its files as UTF-8, and without what is not text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from bertd.data.sources.encoding_hints import describe_not_text, describe_not_utf8
from bertd.data.sources.encodings import HEAD_BYTES, has_controls, open_utf8
from bertd.data.sources.readers.document import Block, Document, Reader, ReadResult, Skipped, SkipReason, TooLong
from bertd.data.sources.readers.other_formats import describe_binary, describe_tagged, remedy_for
from bertd.program import print_note

_SKIPPED = b"\x00skipped\x00"
"""Opens the block that stands for a file which is not text; no block of text begins so."""
_MAX_NOTES = 3
"""Files of a source that are named to the user; the counts have all."""


@dataclass(frozen=True)
class DecodedReader:
    """Decides the encoding of each file, and leaves out files and documents of control characters."""

    reader: Reader
    encoding: str | None = None
    """Of files that are not UTF-8."""
    _notes: list[str] = field(default_factory=list, compare=False)
    """What the user was told."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """The blocks of the file as UTF-8; one that stands for the file if it is not text."""
        name = str(getattr(stream, "name", "a file"))
        text, head = open_utf8(
            stream,
            named=self.encoding,
            name=name,
            on_invalid=None if self.encoding else lambda content: self._note_not_utf8(name, content),
        )
        if binary := describe_binary(head, is_text=text is not None):
            self._note(lambda: f"{name}: is {binary}, and is left out; {remedy_for(binary)}")
            yield _skip_file(stream, head, SkipReason.OTHER_FORMAT)
            return
        if text is None:
            self._note(lambda: f"{name}: is {describe_not_text(head)}")
            yield _skip_file(stream, head, SkipReason.NOT_TEXT)
            return
        if tagged := describe_tagged(name, head):
            self._note(lambda: f"{name}: is {tagged} are read as text; extract its text first")
        yield from self.reader.blocks(text, block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """The reader's documents, each checked once more."""
        if content.startswith(_SKIPPED):
            reason, characters, sample = json.loads(content.removeprefix(_SKIPPED))
            yield Skipped(SkipReason(reason), read=characters, sample=sample)
            return
        for result in self.reader.documents(content):
            if isinstance(result, Document) and has_controls(result.text.encode("utf-8", "replace")):
                yield Skipped(SkipReason.NOT_TEXT, read=result.read, sample=result.text)
            else:
                yield result

    def _note_not_utf8(self, name: str, content: bytes) -> None:
        self._note(lambda: f"{name}: is not UTF-8, and what cannot be read is left out; {describe_not_utf8(content)}")

    def _note(self, make_line: Callable[[], str]) -> None:
        """Tell the user, unless enough was said; only then is the line made, which may take some milliseconds."""
        if len(self._notes) < _MAX_NOTES:
            self._notes.append(make_line())
            print_note(self._notes[-1])


def _skip_file(stream: BinaryIO, head: bytes, reason: SkipReason) -> Block:
    """Read to the end of a file that is not text, to count it."""
    counted = TooLong()
    counted.begin(head)
    while piece := stream.read(HEAD_BYTES):
        counted.add(piece)
    return Block(_SKIPPED + json.dumps([reason.value, counted.characters, counted.sample]).encode())
