"""Run one finetuning job: read the data, load the export, train, evaluate, write the score to the journal."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from bertd.glue.classifier import Classifier, load_classifier
from bertd.glue.device import choose_device
from bertd.glue.examples import Split, read_dev, read_train
from bertd.glue.progress import ProgressJournal
from bertd.glue.tasks import Task, find_task
from bertd.glue.train import evaluate, train
from bertd.records import EndRecord, FinetuneSpec, ScoreRecord
from bertd.run.journal import JournalWriter
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.backends.cpu_tuning import tune_cpu
from bertd.train.backends.precision import choose_precision


def finetune(spec: FinetuneSpec, *, journal: JournalWriter, progress: ProgressJournal) -> None:
    """Train and evaluate one trial; write its score to the journal.

    Raises:
        CorpusError: the task's data is missing or wrong.
        CheckpointError: the export cannot be loaded completely.
        DeviceError: the leased GPU cannot be used.
        NumericsError: training diverged.
    """
    task = find_task(spec.task)
    data_dir = Path(spec.data_dir)
    train_split = read_train(task, data_dir=data_dir)
    dev, absent = read_dev(task, data_dir=data_dir)
    device = choose_device()
    if device.type == "cpu":
        tune_cpu()
    # What a pretraining with "auto" gets: bf16, fp16 on GPUs without it, fp32 on CPU.
    precision = choose_precision(PrecisionSection(mode="auto"), device)
    torch.manual_seed(spec.seed)
    classifier = load_classifier(Path(spec.source), task, max_length=spec.max_length)
    _warn_of_gaps(progress, splits=[train_split, *dev.values()], absent=absent, spec=spec, classifier=classifier)
    sizes = f"{len(train_split.examples)} training and {len(next(iter(dev.values())).examples)} development examples"
    print(f"{task.name}: {sizes} from {spec.source_name} on {device} in {precision.mode}", flush=True)
    train(classifier, task, train_split, spec=spec, device=device, precision=precision, progress=progress)
    metrics, majority = evaluate(classifier, task, train_split=train_split, dev=dev, device=device, precision=precision)
    score = _score_record(
        spec,
        task,
        metrics=metrics,
        majority=majority,
        train_split=train_split,
        dev=dev,
        precision=precision.mode,
        seconds=progress.elapsed_s(),
    )
    journal.append(score)
    detail = f"{task.name}: {score.metric} {score.score:.3f} (majority class: {score.majority_score:.3f})"
    print(detail, flush=True)
    journal.append(
        EndRecord(
            t=time.time(),
            step=progress.step,
            sequences=progress.examples,
            charged_s=progress.elapsed_s(),
            reason="finished",
            detail=detail,
        )
    )


def _score_record(
    spec: FinetuneSpec,
    task: Task,
    *,
    metrics: dict[str, float],
    majority: dict[str, float],
    train_split: Split,
    dev: dict[str, Split],
    precision: str,
    seconds: float,
) -> ScoreRecord:
    return ScoreRecord(
        t=time.time(),
        task=task.name,
        metric=task.headline,
        score=metrics[task.headline],
        majority_score=majority[task.headline],
        metrics=metrics,
        majority_metrics=majority,
        num_train=len(train_split.examples),
        num_dev=len(next(iter(dev.values())).examples),
        seed=spec.seed,
        lr=spec.lr,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        source=spec.source_name,
        seconds=seconds,
        precision=precision,
    )


def _warn_of_gaps(
    progress: ProgressJournal, *, splits: list[Split], absent: list[Path], spec: FinetuneSpec, classifier: Classifier
) -> None:
    for split in splits:
        if split.skipped_lines:
            progress.warn(
                "lines_skipped", f"{split.path}: {split.skipped_lines} lines have too few fields and are skipped"
            )
    for path in absent:
        progress.warn("dev_set_absent", f"{path}: missing; only the other development set is scored")
    if classifier.max_length < spec.max_length:
        progress.warn(
            "max_length",
            f"{spec.source}: the model has {classifier.max_length} positions; texts are truncated to that, "
            f"not to {spec.max_length} tokens",
        )
