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

from bertd.data.manifest import Filters
from bertd.data.part_maker import PartMaker, PartTask, SourceBlock
from bertd.data.parts import PartFacts, PartFile, part_path
from bertd.data.readers.document import Block, Reader
from bertd.data.sources import Source
from bertd.data.tally import Tally
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

    def maker(self) -> PartMaker:
        return PartMaker(
            folder=self.folder,
            readers=self.readers,
            tokenizer=Tokenizer.from_str(self.tokenizer_json),
            language=self.language,
            filters=self.filters,
        )


class Feed:
    """Cuts the sources into the tasks that are still to do."""

    def __init__(self, sources: list[Source], *, folder: Path, readers: dict[int, Reader]) -> None:
        self._files = [(number, path) for number, source in enumerate(sources) for path in source.units]
        self._sources = sources
        self._folder = folder
        self._readers = readers
        sizes = [0 if path is None else path.stat().st_size for _, path in self._files]
        self._begins = [0, *accumulate(sizes)]
        self.num_parts = 0
        """Parts so far, done before or not."""
        self.bytes_done = 0
        """Of the files as they lie on the disk: those that the parts that are done were read from."""
        self.bytes_before = 0
        """Of these, what an earlier attempt has done."""
        self.text_bytes = 0
        """Of the parts that this attempt has done."""
        self._bytes_read = 0
        self._bytes_handed_out = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        """Bytes read for each part that is being made, and of text in it."""

    @property
    def bytes_total(self) -> int:
        """Of all files as they lie on the disk."""
        return self._begins[-1]

    def tasks(self, tally: Tally) -> Iterator[PartTask]:
        """Tasks in order, until there are enough; a part that an earlier attempt has left is tallied instead.

        Raises:
            CorpusError: a file cannot be read.
        """
        file = block = 0
        while (facts := self._done(self.num_parts)) is not None:
            file, block = facts.next_file, facts.next_block
            tally.add(self.num_parts, facts)
            self.num_parts += 1
        for task in self._cut(file, block):
            if tally.num_enough is not None:
                return
            facts = self._done(task.number)
            if facts is None:
                yield task
            else:
                tally.add(task.number, facts)
                self._skip(self._sizes.pop(task.number)[0])

    def finish(self, number: int) -> None:
        """Take note that a part is made."""
        num_bytes, text_bytes = self._sizes.pop(number)
        self.bytes_done += num_bytes
        self.text_bytes += text_bytes

    def _skip(self, num_bytes: int) -> None:
        self.bytes_done += num_bytes
        self.bytes_before += num_bytes

    def _done(self, number: int) -> PartFacts | None:
        path = part_path(self._folder, number)
        return PartFile(path).facts if path.exists() else None

    def _cut(self, first_file: int, first_block: int) -> Iterator[PartTask]:
        blocks: list[SourceBlock] = []
        size = 0
        self._bytes_handed_out = self._begins[first_file]
        self._skip(self._bytes_handed_out)
        for file in range(first_file, len(self._files)):
            source, path = self._files[file]
            for number, block in enumerate(self._blocks(source, path, before=self._begins[file])):
                if file == first_file and number < first_block:
                    self._skip(self._bytes_read - self._bytes_handed_out)
                    self._bytes_handed_out = self._bytes_read
                    continue
                blocks.append(SourceBlock(source=source, block=block))
                size += len(block.content)
                if size >= PART_BYTES:
                    yield self._task(blocks, next_file=file, next_block=number + 1)
                    blocks, size = [], 0
        self._bytes_read = self.bytes_total
        if blocks:
            yield self._task(blocks, next_file=len(self._files), next_block=0)

    def _blocks(self, source: int, path: Path | None, *, before: int) -> Iterator[Block]:
        """The blocks of one file, or of the files in a tar."""
        with self._sources[source].open(path) as streams:
            for stream in streams:
                for block in self._readers[source].blocks(stream.content, block_bytes=BLOCK_BYTES):
                    self._bytes_read = before + stream.raw.tell()
                    yield block

    def _task(self, blocks: list[SourceBlock], *, next_file: int, next_block: int) -> PartTask:
        self.num_parts += 1
        text_bytes = sum(len(item.block.content) for item in blocks)
        self._sizes[self.num_parts - 1] = (self._bytes_read - self._bytes_handed_out, text_bytes)
        self._bytes_handed_out = self._bytes_read
        return PartTask(number=self.num_parts - 1, blocks=tuple(blocks), next_file=next_file, next_block=next_block)


def make_parts(
    feed: Feed, setup: WorkerSetup, tally: Tally, *, processes: int, on_done: Callable[[PartFacts], None]
) -> None:
    """Make every part that is not there yet and is wanted, and tally them all.

    Args:
        on_done: called for each part that was made, in no order.

    Raises:
        CorpusError: a file cannot be read, or a worker died.
        StorageError: the disk refused.
        VocabularyError: the tokenizer fails on a text.
    """

    def done(number: int, facts: PartFacts) -> None:
        tally.add(number, facts)
        feed.finish(number)
        on_done(facts)

    tasks = feed.tasks(tally)
    if processes == 1:
        maker = setup.maker()
        for task in tasks:
            done(task.number, maker.make(task))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(setup, os.getpid())) as pool:
        waiting: dict[Future[PartFacts], int] = {}
        try:
            for task in tasks:
                waiting[_submit(pool, task)] = task.number
                if len(waiting) > processes + 1:
                    _collect(waiting, done=done)
            while waiting:
                _collect(waiting, done=done)
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
        return pool.submit(_make, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect(waiting: dict[Future[PartFacts], int], *, done: Callable[[int, PartFacts], None]) -> None:
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        done(waiting.pop(future), future.result())


_maker: PartMaker | None = None
"""This worker's; a process pool hands its tasks to functions, not to objects."""


def _begin(setup: WorkerSetup, parent: int) -> None:
    """Prepare a worker process: it dies with its parent, to whom it leaves Ctrl-C."""
    global _maker
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _maker = setup.maker()


def _make(task: PartTask) -> PartFacts:
    assert _maker is not None
    return _maker.make(task)
