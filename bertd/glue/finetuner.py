"""`python -m bertd.glue.finetuner JOB_FOLDER`: carry out finetune.json, journal the score.

The journal gets `step` records (loss is the task's own: cross-entropy in nats, or the squared error; charged_s is the
time this job has run, which no budget is charged for), one `score`, one `end`. Exit status 0, or that of the
BertdError, which is journalled as an alert. SIGTERM ends it at once: there is nothing to save.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError

from bertd.errors import BertdError, DeviceError, RunFolderError
from bertd.glue.classifier import Classifier, load_classifier
from bertd.glue.examples import Split, read_dev, read_train
from bertd.glue.tasks import Task, find_task
from bertd.glue.trial import Update, evaluate, train
from bertd.records import AlertRecord, EndRecord, FinetuneSpec, ScoreRecord, StepRecord
from bertd.run.journal import JournalWriter
from bertd.run.paths import JobPaths

_RECORD_EVERY_S = 1.0


class ProgressJournal:
    """Journals updates, at most one a second, and keeps count."""

    def __init__(self, journal: JournalWriter, *, began_s: float) -> None:
        self._journal = journal
        self._began_s = began_s
        self._last_s = time.monotonic()
        self._losses: list[float] = []
        self._examples = 0
        self._positions = 0
        self.step = 0
        self.examples = 0
        """Read so far, over all epochs."""

    def elapsed_s(self) -> float:
        """Since the job began."""
        return time.monotonic() - self._began_s

    def note(self, update: Update) -> None:
        """Count one update; write a record where a second has passed, and for the last one."""
        self.step = update.step
        self.examples += update.num_examples
        self._examples += update.num_examples
        self._positions += update.num_positions
        self._losses.append(update.loss)
        now = time.monotonic()
        if now - self._last_s < _RECORD_EVERY_S and update.step < update.num_steps:
            return
        seconds = max(now - self._last_s, 1e-9)
        self._journal.append(
            StepRecord(
                t=time.time(),
                step=update.step,
                sequences=self.examples,
                charged_s=self.elapsed_s(),
                progress=update.step / update.num_steps,
                loss=sum(self._losses) / len(self._losses),
                lr=update.lr,
                grad_norm=update.grad_norm,
                sequences_per_s=self._examples / seconds,
                tokens_per_s=self._positions / seconds,
            )
        )
        self._last_s, self._losses, self._examples, self._positions = now, [], 0, 0

    def warn(self, code: str, message: str) -> None:
        """Tell a person something that does not end the job."""
        print(message, flush=True)
        self._alert("warning", code, message)

    def fail(self, error: BertdError) -> None:
        """Write down why the job ends here."""
        self._alert("error", type(error).__name__, str(error))

    def _alert(self, level: Literal["warning", "error"], code: str, message: str) -> None:
        self._journal.append(AlertRecord(t=time.time(), step=self.step, level=level, code=code, message=message))


def read_spec(paths: JobPaths) -> FinetuneSpec:
    """The job's finetune.json.

    Raises:
        RunFolderError: missing, or not a finetune specification.
    """
    try:
        spec = FinetuneSpec.model_validate_json(paths.finetune_spec.read_bytes())
    except OSError as error:
        raise RunFolderError(
            f"{paths.finetune_spec}: cannot read: {error.strerror}; name the folder of a finetuning job"
        ) from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "the file"
        raise RunFolderError(f"{paths.finetune_spec}: {where}: {detail['msg']}; mend it") from error
    limits = {
        "seed": 0 <= spec.seed < 2**31,
        "lr": spec.lr > 0,
        "batch_size": spec.batch_size > 0,
        "epochs": spec.epochs > 0,
        "weight_decay": spec.weight_decay >= 0,
        "warmup": 0 <= spec.warmup < 1,
        "max_length": spec.max_length >= 8,
    }
    for field, is_within in limits.items():
        if not is_within:
            raise RunFolderError(f"{paths.finetune_spec}: {field} = {getattr(spec, field)}: out of range; mend it")
    return spec


def choose_device() -> torch.device:
    """The GPU where one is visible, else the CPU.

    Raises:
        DeviceError: a GPU was leased through CUDA_VISIBLE_DEVICES and cannot be used.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    leased = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if leased not in ("", "-1"):
        raise DeviceError(f"CUDA_VISIBLE_DEVICES={leased}: torch finds no such GPU; check nvidia-smi and the driver")
    return torch.device("cpu")


def finetune(spec: FinetuneSpec, *, journal: JournalWriter, progress: ProgressJournal) -> None:
    """Train, evaluate and journal one trial.

    Raises:
        CorpusError: the task's data is missing or wrong.
        CheckpointError: the export cannot be loaded whole.
        DeviceError: the leased GPU cannot be used.
        NumericsError: training diverged.
    """
    task = find_task(spec.task)
    data_dir = Path(spec.data_dir)
    train_split = read_train(task, data_dir=data_dir)
    dev, absent = read_dev(task, data_dir=data_dir)
    device = choose_device()
    torch.manual_seed(spec.seed)
    classifier = load_classifier(Path(spec.source), task, max_length=spec.max_length)
    _warn_of_gaps(progress, splits=[train_split, *dev.values()], absent=absent, spec=spec, classifier=classifier)
    sizes = f"{len(train_split.examples)} training and {len(next(iter(dev.values())).examples)} development examples"
    print(f"{task.name}: {sizes} from {spec.source_name} on {device}", flush=True)
    train(classifier, task, train_split, spec=spec, device=device, report=progress.note)
    metrics, majority = evaluate(classifier, task, train_split=train_split, dev=dev, device=device)
    score = _score_record(
        spec, task, metrics=metrics, majority=majority, train_split=train_split, dev=dev, seconds=progress.elapsed_s()
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
    )


def _warn_of_gaps(
    progress: ProgressJournal, *, splits: list[Split], absent: list[Path], spec: FinetuneSpec, classifier: Classifier
) -> None:
    for split in splits:
        if split.skipped_lines:
            progress.warn("lines_skipped", f"{split.path}: {split.skipped_lines} lines are cut short and left out")
    for path in absent:
        progress.warn("dev_set_absent", f"{path}: not there; only the other development set is scored")
    if classifier.max_length < spec.max_length:
        progress.warn(
            "max_length",
            f"{spec.source}: the model has {classifier.max_length} positions; longer texts are cut there, "
            f"not at {spec.max_length}",
        )


def main(arguments: list[str]) -> int:
    """Run the job in the folder; the exit status."""
    began_s = time.monotonic()
    if len(arguments) != 1:
        print("usage: python -m bertd.glue.finetuner JOB_FOLDER", file=sys.stderr)
        return 2
    # Subnormal numbers in early gradients run up to twenty times slower on CPU.
    torch.set_flush_denormal(True)
    paths = JobPaths(Path(arguments[0]))
    try:
        spec = read_spec(paths)
        journal = JournalWriter(paths.journal)
    except BertdError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    progress = ProgressJournal(journal, began_s=began_s)
    try:
        finetune(spec, journal=journal, progress=progress)
    except BertdError as error:
        print(error, file=sys.stderr)
        progress.fail(error)
        return error.exit_code
    except Exception:
        # The edge of this process: the runner reads the status, people read the log.
        traceback.print_exc()
        return 1
    finally:
        journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
