"""Run the tasks of a plan in worker processes, or in this one; the parts are the same for any number of processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

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


def make_parts(
    planner: TaskPlanner, setup: WorkerSetup, tally: PartTally, *, processes: int, on_done: Callable[[PartFacts], None]
) -> None:
    """Make every needed part that does not exist yet, and tally all parts.

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
                "a worker was killed, perhaps because memory ran out; prepare again with fewer --processes: "
                "finished parts are kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, task: PartTask) -> Future[PartFacts]:
    """Submit a task; a worker that this starts inherits a blocked SIGINT, so that Ctrl-C prints no traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_make_part_in_worker, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect_finished(pending: dict[Future[PartFacts], int], *, record_done: Callable[[int, PartFacts], None]) -> None:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        record_done(pending.pop(future), future.result())


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
