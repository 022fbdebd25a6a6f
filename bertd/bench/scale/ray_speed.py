"""Compare two workers of Ray with two processes, which make the same parts on the same cores."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bertd.bench.scale.figures import ScaleFigure
from bertd.bench.scale.small_corpus import make_small_dataset, write_documents
from bertd.data.prepare.parts.counts import PartTally
from bertd.data.prepare.parts.ray_workers import LOCAL, RayWorkers
from bertd.data.prepare.parts.task_planner import TaskPlanner
from bertd.data.prepare.parts.worker_pool import LocalProcesses, PartWorkers, WorkerSetup
from bertd.data.sources.spec import ReadingOptions, find_sources, make_reader
from bertd.run.dataset_manifest import Filters
from bertd.tokenizer.tokenizer import open_tokenizer

MIN_RATIO = 0.85
_NUM_WORKERS = 2
_NUM_WARM = 4
"""Parts before the clock: workers load their libraries."""
_NUM_DOCUMENTS = 25_000
"""Some 45 MB of text."""


def measure_ray() -> list[ScaleFigure]:
    """Text a second of both, without their starts; nothing where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        print("ray: not installed, so not measured; pip install 'bertd[ray]'", file=sys.stderr)
        return []
    # As in a prepare: the tokenizer's own threads would compete for the same cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="bertd-scale-") as name:
        folder = Path(name)
        make_small_dataset(folder)
        corpus = write_documents(folder / "large.jsonl", num_documents=_NUM_DOCUMENTS, seed=2)
        local = _bytes_per_s(folder / "local", corpus, lambda setup: LocalProcesses(setup, processes=_NUM_WORKERS))
        ray = _bytes_per_s(
            folder / "ray", corpus, lambda setup: RayWorkers(setup, address=LOCAL, num_workers=_NUM_WORKERS)
        )
    return [
        ScaleFigure("preparation by 2 processes", local / 1e6, "MB/s"),
        ScaleFigure("preparation by 2 workers of Ray", ray / 1e6, "MB/s"),
        ScaleFigure("Ray's share of the speed of processes", ray / local, "", MIN_RATIO, "at least"),
    ]


def _bytes_per_s(folder: Path, corpus: Path, start: Callable[[WorkerSetup], PartWorkers]) -> float:
    folder.mkdir()
    sources = find_sources([str(corpus)])
    readers = {number: make_reader(source, ReadingOptions()) for number, source in enumerate(sources)}
    tokenizer = open_tokenizer(str(corpus.parent / "vocab.txt"))
    setup = WorkerSetup(
        folder=folder, readers=readers, tokenizer_json=tokenizer.to_str(), language="en", filters=Filters()
    )
    planner = TaskPlanner(sources, folder=folder, readers=readers)
    workers = start(setup)
    try:
        tasks = planner.tasks(PartTally(folder, filters=Filters()))
        for _ in range(_NUM_WARM):
            workers.submit(next(tasks))
        while workers.num_pending:
            workers.collect()
        num_bytes, begin_s = 0, time.perf_counter()
        for task in tasks:
            num_bytes += sum(len(item.block.content) for item in task.blocks)
            workers.submit(task)
            if workers.is_full:
                workers.collect()
        while workers.num_pending:
            workers.collect()
        return num_bytes / (time.perf_counter() - begin_s)
    finally:
        workers.close()
