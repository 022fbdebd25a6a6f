"""Run the tasks of a plan in workers, or in this process; the parts are the same whoever makes them, and how many."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from bertd.data.prepare.parts.counts import PartTally
from bertd.data.prepare.parts.part_file import PartFacts
from bertd.data.prepare.parts.task_planner import TaskPlanner
from bertd.data.prepare.parts.tokenize_part import PartTask, PartTokenizer
from bertd.data.sources.readers.document import Reader
from bertd.errors import CorpusError
from bertd.run.dataset_manifest import Filters
from bertd.run.machine.child_processes import die_with_parent


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker needs, in a form that can be pickled."""

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


class PartWorkers(Protocol):
    """Who makes parts."""

    def submit(self, task: PartTask) -> None:
        """Begin a part."""

    def collect(self) -> list[tuple[int, PartFacts]]:
        """Wait for at least one of the parts that were begun; their numbers and facts. They are on the disk."""

    @property
    def is_full(self) -> bool:
        """Whether to collect before more is submitted."""

    @property
    def num_pending(self) -> int:
        """Parts that were begun and not collected."""

    def close(self) -> None:
        """End the workers; what they are doing is dropped."""


@dataclass(frozen=True)
class ArrayTask:
    """One of several processes that make the parts together, every so many-th each."""

    number: int
    """From 0."""
    num_tasks: int


WHOLE = ArrayTask(number=0, num_tasks=1)


def make_parts(
    planner: TaskPlanner,
    workers: PartWorkers,
    tally: PartTally,
    *,
    share: ArrayTask = WHOLE,
    on_done: Callable[[PartFacts], None],
) -> None:
    """Make every needed part that does not exist yet, and tally all parts; the workers are closed at the end.

    Args:
        share: the parts to make; the others are neither made nor tallied.
        on_done: called for each part that was made, in no order.

    Raises:
        CorpusError: a file cannot be read, or a worker died.
        StorageError: the disk refused.
        VocabularyError: the tokenizer fails on a text.
    """

    def collect() -> None:
        for number, facts in workers.collect():
            tally.add(number, facts)
            planner.mark_done(number)
            on_done(facts)

    try:
        for task in planner.tasks(tally):
            if task.number % share.num_tasks != share.number:
                planner.pass_over(task.number)
                continue
            workers.submit(task)
            if workers.is_full:
                collect()
        while workers.num_pending:
            collect()
    finally:
        workers.close()


class InProcess:
    """This process makes the parts, one at a time."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._part_tokenizer = setup.make_part_tokenizer()
        self._done: list[tuple[int, PartFacts]] = []

    def submit(self, task: PartTask) -> None:
        """Make the part."""
        self._done.append((task.number, self._part_tokenizer.make_part(task)))

    def collect(self) -> list[tuple[int, PartFacts]]:
        """The part that was made."""
        done, self._done = self._done, []
        return done

    @property
    def is_full(self) -> bool:
        return bool(self._done)

    @property
    def num_pending(self) -> int:
        return len(self._done)

    def close(self) -> None:
        """Nothing is to be ended."""


class LocalProcesses:
    """Processes of this machine."""

    def __init__(self, setup: WorkerSetup, *, processes: int) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_initialize_worker, initargs=(setup, os.getpid())
        )
        self._pending: dict[Future[PartFacts], int] = {}

    def submit(self, task: PartTask) -> None:
        """Begin a part; a worker that this starts inherits a blocked SIGINT, so that Ctrl-C prints no traceback.

        Raises:
            CorpusError: a worker was killed.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._pending[self._pool.submit(_make_part_in_worker, task)] = task.number
        except BrokenProcessPool as error:
            raise CorpusError(_KILLED) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def collect(self) -> list[tuple[int, PartFacts]]:
        """Wait for a part.

        Raises:
            CorpusError: a worker was killed.
        """
        done = wait(self._pending, return_when=FIRST_COMPLETED).done
        try:
            return [(self._pending.pop(future), future.result()) for future in done]
        except BrokenProcessPool as error:
            raise CorpusError(_KILLED) from error

    @property
    def is_full(self) -> bool:
        return self.num_pending > self._processes + 1

    @property
    def num_pending(self) -> int:
        return len(self._pending)

    def close(self) -> None:
        """Wait for the parts that are being made, and end the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)


_KILLED = (
    "a worker was killed, perhaps because memory ran out; prepare again with fewer --processes: finished parts are kept"
)
_part_tokenizer: PartTokenizer | None = None
"""Global in each worker process, since a process pool calls functions, not methods of an object."""


def _initialize_worker(setup: WorkerSetup, parent: int) -> None:
    """Prepare a worker process, which the kernel kills when its parent dies; only the parent handles Ctrl-C."""
    global _part_tokenizer
    die_with_parent(parent)
    _part_tokenizer = setup.make_part_tokenizer()


def _make_part_in_worker(task: PartTask) -> PartFacts:
    assert _part_tokenizer is not None
    return _part_tokenizer.make_part(task)
