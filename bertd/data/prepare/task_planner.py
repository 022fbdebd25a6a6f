"""From files to parts: reads the sources in order, groups their blocks, and has workers tokenize them.

Only this process reads; it does not look inside the blocks, so it keeps many workers busy. What a part holds depends
on the sources alone, never on the number of workers or on where an earlier attempt was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path

from tokenizers import Tokenizer

from bertd.data.dataset.manifest import Filters
from bertd.data.prepare.counts import PartTally
from bertd.data.prepare.part_file import PartFacts, PartFile, part_path
from bertd.data.prepare.tokenize_part import PartTask, PartTokenizer, SourceBlock
from bertd.data.sources.readers.document import Block, Reader
from bertd.data.sources.spec import Source
from bertd.errors import CorpusError

PART_BYTES = 1 << 22
"""Text in a part: large against the cost of a task, small against what a kill may lose."""
BLOCK_BYTES = 1 << 20

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker needs, in a form that can be sent."""

    folder: Path
    readers: dict[int, Reader]
    tokenizer_json: str
    language: str
    filters: Filters

    def make_part_tokenizer(self) -> PartTokenizer:
        return PartTokenizer(
            folder=self.folder,
            readers=self.readers,
            tokenizer=Tokenizer.from_str(self.tokenizer_json),
            language=self.language,
            filters=self.filters,
        )


class TaskPlanner:
    """Cuts the sources into the tasks that are still to do."""

    def __init__(self, sources: list[Source], *, folder: Path, readers: dict[int, Reader]) -> None:
        self._files = [(number, path) for number, source in enumerate(sources) for path in source.units]
        self._sources = sources
        self._folder = folder
        self._readers = readers
        sizes = [0 if path is None else path.stat().st_size for _, path in self._files]
        self._file_offsets = [0, *accumulate(sizes)]
        self.num_parts = 0
        """Parts so far, done before or not."""
        self.bytes_done = 0
        """Of the files as they lie on the disk: those that the parts that are done were read from."""
        self.bytes_before = 0
        """Of these, what an earlier attempt has done."""
        self.text_bytes = 0
        """Of the parts that this attempt has done."""
        self._bytes_read = 0
        self._bytes_assigned = 0
        self._part_sizes: dict[int, tuple[int, int]] = {}
        """Bytes read for each part that is being made, and of text in it."""

    @property
    def bytes_total(self) -> int:
        """Of all files as they lie on the disk."""
        return self._file_offsets[-1]

    def tasks(self, tally: PartTally) -> Iterator[PartTask]:
        """Tasks in order, until there are enough; a part that an earlier attempt has left is tallied instead.

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
        """Take note that a part is made."""
        num_bytes, text_bytes = self._part_sizes.pop(number)
        self.bytes_done += num_bytes
        self.text_bytes += text_bytes

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

    def _read_blocks(self, source: int, path: Path | None, *, before: int) -> Iterator[Block]:
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


def make_parts(
    planner: TaskPlanner, setup: WorkerSetup, tally: PartTally, *, processes: int, on_done: Callable[[PartFacts], None]
) -> None:
    """Make every part that is not there yet and is wanted, and tally them all.

    Args:
        on_done: called for each part that was made, in no order.

    Raises:
        CorpusError: a file cannot be read, or a worker died.
        StorageError: the disk refused.
        VocabularyError: the tokenizer fails on a text.
    """

    def record_done(number: int, facts: PartFacts) -> None:
        tally.add(number, facts)
        planner.mark_done(number)
        on_done(facts)

    tasks = planner.tasks(tally)
    if processes == 1:
        maker = setup.make_part_tokenizer()
        for task in tasks:
            record_done(task.number, maker.make_part(task))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_initialize_worker, initargs=(setup, os.getpid())
    ) as pool:
        pending: dict[Future[PartFacts], int] = {}
        try:
            for task in tasks:
                pending[_submit(pool, task)] = task.number
                if len(pending) > processes + 1:
                    _collect_finished(pending, record_done=record_done)
            while pending:
                _collect_finished(pending, record_done=record_done)
        except BrokenProcessPool as error:
            raise CorpusError(
                "a worker was killed, perhaps for want of memory; prepare again with fewer --processes: "
                "what is done is kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, task: PartTask) -> Future[PartFacts]:
    """Hand out a task; a worker that this starts is born with Ctrl-C blocked, so that it leaves no traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_make_part_in_worker, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect_finished(pending: dict[Future[PartFacts], int], *, record_done: Callable[[int, PartFacts], None]) -> None:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        record_done(pending.pop(future), future.result())


_part_tokenizer: PartTokenizer | None = None
"""This worker's; a process pool hands its tasks to functions, not to objects."""


def _initialize_worker(setup: WorkerSetup, parent: int) -> None:
    """Prepare a worker process: it dies with its parent, to whom it leaves Ctrl-C."""
    global _part_tokenizer
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _part_tokenizer = setup.make_part_tokenizer()


def _make_part_in_worker(task: PartTask) -> PartFacts:
    assert _part_tokenizer is not None
    return _part_tokenizer.make_part(task)
