"""Run one finetuning job: read the data, load the export, train, evaluate, write the score to the journal."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from bertd.errors import CheckpointError, StorageError
from bertd.glue.kinds.kind import NULL_THRESHOLD, Kind
from bertd.glue.model.classifier import Classifier, load_classifier
from bertd.glue.model.finetuned_model import save_finetuned
from bertd.glue.progress import ProgressJournal
from bertd.glue.task_cache import TaskCache
from bertd.glue.training.best_epoch import BestEpoch
from bertd.glue.training.dev_predictions import pack_predictions
from bertd.glue.training.epoch_state import EpochStore
from bertd.glue.training.evaluate import Evaluator
from bertd.glue.training.train import train
from bertd.glue.training.update import Updates
from bertd.records import EndRecord, FinetuneSpec, Keep, ScoreRecord
from bertd.run.atomic_files import atomic_write
from bertd.run.job_energy import read_job_energy
from bertd.run.journal import JournalWriter
from bertd.run.paths import JobPaths
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.backends.cpu_tuning import tune_cpu
from bertd.train.backends.leased_device import choose_device
from bertd.train.backends.precision import choose_precision


def finetune(
    spec: FinetuneSpec,
    *,
    paths: JobPaths,
    journal: JournalWriter,
    progress: ProgressJournal,
    tasks: TaskCache | None = None,
) -> None:
    """Train one trial and evaluate it after each epoch; write the score of the best epoch to the journal.

    Args:
        spec: what to do.
        paths: of the job.
        journal: of the job.
        progress: counts the updates.
        tasks: has the task, perhaps, if this process has finetuned before.

    Raises:
        CorpusError: the task's data is missing or wrong.
        CheckpointError: the export cannot be loaded completely.
        DeviceError: the leased GPU cannot be used.
        NumericsError: training diverged.
        StorageError: the model cannot be kept.
    """
    kind = (tasks or TaskCache()).read(spec)
    device = choose_device()
    if device.type == "cpu":
        tune_cpu()
    # What a pretraining with "auto" gets: bf16, fp16 on GPUs without it, fp32 on CPU.
    precision = choose_precision(PrecisionSection(mode="auto"), device)
    torch.manual_seed(spec.seed)
    classifier = load_classifier(
        Path(spec.source), kind.head, max_length=spec.max_length, is_finetuned=spec.via is not None
    )
    for code, message in kind.warnings:
        progress.warn(code, message)
    if classifier.max_length < spec.max_length:
        progress.warn(
            "max_length",
            f"{spec.source}: the model has {classifier.max_length} positions; its inputs have up to so many tokens, "
            f"not {spec.max_length}",
        )
    via = "" if spec.via is None else f", finetuned on {spec.via},"
    where = f"from {spec.source_name}{via} on {device} in {precision.mode}"
    print(f"{kind.name}: {kind.num_train} training and {kind.num_dev} development examples {where}", flush=True)
    if (stride := kind.largest_stride(classifier.max_length)) is not None:
        print(f"{kind.name}: windows of {classifier.max_length} tokens, {stride} apart at most", flush=True)
    evaluator = Evaluator(classifier, kind, device=device, precision=precision)
    best = BestEpoch(metric=kind.selection_metric, keeps_weights=spec.keep is Keep.BEST)

    store = EpochStore(paths.epoch_state, spec=spec, num_train=kind.num_train)

    def restore(updates: Updates) -> int:
        try:
            num_done = store.restore(classifier.model, updates, best, progress)
        except CheckpointError as error:
            progress.warn("epoch_not_restored", f"{error}; the finetuning begins again")
            return 0
        if num_done:
            print(f"{kind.name}: continues after epoch {num_done} of {spec.epochs}", flush=True)
        return num_done

    def evaluate_epoch(updates: Updates) -> None:
        metrics = evaluator.evaluate()
        best.consider(metrics, classifier.model, predictions=evaluator.predictions)
        print(
            f"{kind.name}: epoch {len(best.scores)} of {spec.epochs}: {kind.selection_metric} {best.scores[-1]:.3f}",
            flush=True,
        )
        if len(best.scores) < spec.epochs and store.is_due():
            try:
                store.save(classifier.model, updates, best, progress)
            except StorageError as error:
                progress.warn("epoch_not_saved", str(error))

    train(
        classifier,
        kind,
        spec=spec,
        device=device,
        precision=precision,
        progress=progress,
        restore=restore,
        after_epoch=evaluate_epoch,
    )
    score = _score_record(
        spec,
        kind,
        best=best,
        majority=kind.baseline(),
        max_length=classifier.max_length,
        precision=precision.mode,
        seconds=progress.elapsed_s(),
        training_s=progress.training_s,
    )
    if best.predictions:
        try:
            atomic_write(paths.dev_predictions, pack_predictions(best.predictions))
        except StorageError as error:
            # The score is true without them.
            progress.warn("predictions_not_kept", str(error))
    if spec.keep is Keep.BEST:
        score = _keep_model(score, classifier, kind, spec=spec, paths=paths, best=best, journal=journal)
    journal.append(score)
    store.delete()
    detail = _describe_score(score)
    print(detail, flush=True)
    journal.append(
        EndRecord(
            t=time.time(),
            step=progress.step,
            sequences=progress.examples,
            charged_s=progress.elapsed_s(),
            reason="finished",
            detail=detail,
            energy=read_job_energy(paths),
        )
    )


def _keep_model(
    score: ScoreRecord,
    classifier: Classifier,
    kind: Kind,
    *,
    spec: FinetuneSpec,
    paths: JobPaths,
    best: BestEpoch,
    journal: JournalWriter,
) -> ScoreRecord:
    """Keep the model of the best epoch; the score, with its folder.

    Raises:
        StorageError: the disk refused; the score is in the journal.
    """
    best.restore(classifier.model)
    folder = paths.finetuned_model
    try:
        save_finetuned(
            folder,
            classifier,
            task=kind.name,
            text=kind.text,
            tokenizer_dir=Path(spec.source),
            source=spec.source_name,
            null_threshold=score.null_threshold,
        )
    except StorageError:
        # The score is true without the model.
        journal.append(score)
        raise
    print(f"{kind.name}: the model after epoch {best.epoch} is kept in {folder}", flush=True)
    return score.model_copy(update={"kept": str(folder)})


def _describe_score(score: ScoreRecord) -> str:
    line = f"{score.task}: {score.metric} {score.score:.3f} (majority class: {score.majority_score:.3f})"
    if score.last_metrics is None or score.epochs == 1:
        return line
    last = f"; the last epoch has {score.last_metrics[score.metric]:.3f}" if score.chosen_epoch != score.epochs else ""
    return f"{line}, after epoch {score.chosen_epoch} of {score.epochs}, chosen on dev by {score.chosen_by}{last}"


def _score_record(
    spec: FinetuneSpec,
    kind: Kind,
    *,
    best: BestEpoch,
    majority: dict[str, float],
    max_length: int,
    precision: str,
    seconds: float,
    training_s: float,
) -> ScoreRecord:
    metrics, last_metrics = (
        {name: value for name, value in every.items() if name != NULL_THRESHOLD}
        for every in (best.metrics, best.last_metrics)
    )
    return ScoreRecord(
        t=time.time(),
        task=kind.name,
        metric=kind.headline,
        score=metrics[kind.headline],
        majority_score=majority[kind.headline],
        metrics=metrics,
        majority_metrics=majority,
        num_train=kind.num_train,
        num_dev=kind.num_dev,
        seed=spec.seed,
        lr=spec.lr,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        source=spec.source_name,
        via=spec.via,
        seconds=seconds,
        training_s=training_s,
        precision=precision,
        chosen_epoch=best.epoch,
        chosen_by=kind.selection_metric,
        epoch_scores=best.scores,
        last_metrics=last_metrics,
        dev=kind.dev_description,
        max_length=max_length,
        stride=kind.largest_stride(max_length),
        null_threshold=best.metrics.get(NULL_THRESHOLD),
    )
