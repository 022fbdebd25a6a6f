"""`python -m bertd.bench.glue.ours`: bertd's side. A scored order is a job as the daemon would run it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from bertd.bench.glue.side_protocol import Answer, Order, answer_orders
from bertd.errors import BertdError
from bertd.glue.__main__ import run_folder, wait_passively
from bertd.program import run_main
from bertd.records import JournalRecord, StepRecord
from bertd.run.journal import JournalWriter, read_journal, read_scores
from bertd.run.paths import JobPaths


def carry_out(order: Order) -> Answer:
    """Do one finetuning.

    Raises:
        BertdError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="bertd-bench-glue-") as folder:
        paths = JobPaths(Path(folder))
        return _score(order, paths) if order.is_evaluated else _time(order, paths)


def _score(order: Order, paths: JobPaths) -> Answer:
    paths.finetune_spec.write_text(order.spec.model_dump_json())
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    if run_folder(paths, began_s=began_s):
        raise BertdError(f"{order.spec.task}: the finetuning failed; its output is above")
    (score,) = read_scores(paths.journal)
    return Answer(
        num_examples=score.num_train * score.epochs,
        wall_s=time.monotonic() - began_s,
        cpu_s=time.process_time() - began_cpu_s,
        score=score.score,
        loss=_mean_loss(read_journal(paths.journal)),
    )


def _mean_loss(records: Iterable[JournalRecord]) -> float:
    """Over all updates: a record has the mean over those since the record before."""
    total, last_step = 0.0, 0
    for record in records:
        if isinstance(record, StepRecord) and record.loss is not None:
            total += record.loss * (record.step - last_step)
            last_step = record.step
    return total / max(last_step, 1)


def _time(order: Order, paths: JobPaths) -> Answer:
    from bertd.glue.data.task_data import read_task_data
    from bertd.glue.kinds.sequence_classification import SequenceClassification
    from bertd.glue.model.classifier import load_classifier
    from bertd.glue.progress import ProgressJournal
    from bertd.glue.training.train import train
    from bertd.glue.training.update import Updates
    from bertd.run.recipe.schema import PrecisionSection
    from bertd.train.backends.cpu_tuning import tune_cpu
    from bertd.train.backends.precision import choose_precision

    tune_cpu()
    data = read_task_data(order.spec)
    data = replace(data, train=replace(data.train, examples=data.train.examples[: order.max_rows]))
    kind = SequenceClassification.of(data)
    torch.manual_seed(order.spec.seed)
    classifier = load_classifier(Path(order.spec.source), kind.head, max_length=order.spec.max_length)
    device = torch.device("cpu")
    began = [0.0, 0.0]

    def begin(_: Updates) -> int:
        # Called when the texts are tokenized, just before the first batch.
        began[:] = time.perf_counter(), time.process_time()
        return 0

    journal = JournalWriter(paths.journal)
    train(
        classifier,
        kind,
        spec=order.spec,
        device=device,
        precision=choose_precision(PrecisionSection(mode="auto"), device),
        progress=ProgressJournal(journal, began_s=time.monotonic()),
        restore=begin,
    )
    ended = time.perf_counter(), time.process_time()
    journal.close()
    return Answer(
        num_examples=kind.num_train * order.spec.epochs, wall_s=ended[0] - began[0], cpu_s=ended[1] - began[1]
    )


def main() -> int:
    """Answer orders."""
    wait_passively()
    return run_main(lambda: answer_orders(carry_out), is_logged=True)


if __name__ == "__main__":
    sys.exit(main())
