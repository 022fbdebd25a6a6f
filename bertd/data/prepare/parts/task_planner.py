"""Group the blocks of the sources into tasks, in order.

Only this process reads; it does not look inside the blocks, so it keeps many workers busy. What a part holds depends
on the sources alone, never on the number of workers or on where an earlier attempt was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from bertd.data.prepare.parts.counts import PartTally
from bertd.data.prepare.parts.part_file import PartFacts, PartFile, part_path
from bertd.data.prepare.parts.tokenize_part import PartTask, SourceBlock
from bertd.data.sources.readers.document import Block, Reader
from bertd.data.sources.remote_files import SourceFile
from bertd.data.sources.spec import Source

PART_BYTES = 1 << 22
"""Text in a part: large compared with the overhead of a task, small enough that a kill loses little."""
BLOCK_BYTES = 1 << 20


class TaskPlanner:
    """Cuts the sources into the tasks that are still to be done."""

    def __init__(self, sources: list[Source], *, folder: Path, readers: dict[int, Reader]) -> None:
        self._files = [(number, path) for number, source in enumerate(sources) for path in source.units]
        self._sources = sources
        self._folder = folder
        self._readers = readers
        sizes = [0 if path is None else path.stat().st_size for _, path in self._files]
        self._file_offsets = [0, *accumulate(sizes)]
        self.num_parts = 0
        """Parts so far, those of an earlier attempt included."""
        self.bytes_done = 0
        """Bytes on disk that the finished parts were read from."""
        self.bytes_before = 0
        """Those of `bytes_done` that an earlier attempt read."""
        self.text_bytes = 0
        """Text in the parts that this attempt finished."""
        self._bytes_read = 0
        self._bytes_assigned = 0
        self._part_sizes: dict[int, tuple[int, int]] = {}
        """Bytes on disk and bytes of text of each part that is being made."""

    @property
    def bytes_total(self) -> int:
        """Size of all files on disk."""
        return self._file_offsets[-1]

    def tasks(self, tally: PartTally) -> Iterator[PartTask]:
        """Tasks in order, until the tally has enough; finished parts of an earlier attempt are tallied instead.

        Raises:
            CorpusError: a file cannot be read.
        """
        file = block = 0
        while (facts := self._read_finished(self.num_parts)) is not None:
            file, block = facts.next_file, facts.next_block
            tally.add(self.num_parts, facts)
            self.num_parts += 1
        for task in self._plan_tasks(file, block):
            if tally.num_parts_needed is not None:
                return
            facts = self._read_finished(task.number)
            if facts is None:
                yield task
            else:
                tally.add(task.number, facts)
                self._skip_bytes(self._part_sizes.pop(task.number)[0])

    def mark_done(self, number: int) -> None:
        """Count a part as finished."""
        num_bytes, text_bytes = self._part_sizes.pop(number)
        self.bytes_done += num_bytes
        self.text_bytes += text_bytes

    def pass_over(self, number: int) -> None:
        """Leave a part to another process."""
        self._skip_bytes(self._part_sizes.pop(number)[0])

    def _skip_bytes(self, num_bytes: int) -> None:
        self.bytes_done += num_bytes
        self.bytes_before += num_bytes

    def _read_finished(self, number: int) -> PartFacts | None:
        path = part_path(self._folder, number)
        return PartFile(path).facts if path.exists() else None

    def _plan_tasks(self, first_file: int, first_block: int) -> Iterator[PartTask]:
        blocks: list[SourceBlock] = []
        size = 0
        self._bytes_assigned = self._file_offsets[first_file]
        self._skip_bytes(self._bytes_assigned)
        for file in range(first_file, len(self._files)):
            source, path = self._files[file]
            for number, block in enumerate(self._read_blocks(source, path, before=self._file_offsets[file])):
                if file == first_file and number < first_block:
                    self._skip_bytes(self._bytes_read - self._bytes_assigned)
                    self._bytes_assigned = self._bytes_read
                    continue
                blocks.append(SourceBlock(source=source, block=block))
                size += len(block.content)
                if size >= PART_BYTES:
                    yield self._make_task(blocks, next_file=file, next_block=number + 1)
                    blocks, size = [], 0
        self._bytes_read = self.bytes_total
        if blocks:
            yield self._make_task(blocks, next_file=len(self._files), next_block=0)

    def _read_blocks(self, source: int, path: SourceFile | None, *, before: int) -> Iterator[Block]:
        """The blocks of one file, or of the files in a tar."""
        with self._sources[source].open(path) as streams:
            for stream in streams:
                for block in self._readers[source].blocks(stream.content, block_bytes=BLOCK_BYTES):
                    self._bytes_read = before + stream.raw.tell()
                    yield block

    def _make_task(self, blocks: list[SourceBlock], *, next_file: int, next_block: int) -> PartTask:
        self.num_parts += 1
        text_bytes = sum(len(item.block.content) for item in blocks)
        self._part_sizes[self.num_parts - 1] = (self._bytes_read - self._bytes_assigned, text_bytes)
        self._bytes_assigned = self._bytes_read
        return PartTask(number=self.num_parts - 1, blocks=tuple(blocks), next_file=next_file, next_block=next_block)
