"""Finetune on one task: train on train.tsv, then compute every metric on the development sets.

The learning rate warms up linearly, then decays linearly to 0. Shape letters: see bertd.glue.batches; C is the width of
the classifier.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from bertd.errors import NumericsError
from bertd.glue.batches import EncodedExample, PaddedBatch, encode, pad, training_batches
from bertd.glue.classifier import Classifier
from bertd.glue.examples import Split
from bertd.glue.forward import classify
from bertd.glue.metrics import METRICS, Values, majority_guess
from bertd.glue.progress import ProgressJournal, ReadFigures
from bertd.glue.tasks import Task
from bertd.glue.update import Updates
from bertd.records import FinetuneSpec
from bertd.run.recipe.schema import ScheduleSection
from bertd.train.backends.precision import Precision
from bertd.train.optim.schedule import learning_rate_factor

_EVALUATION_BATCH_SIZE = 64


def train(
    classifier: Classifier,
    task: Task,
    split: Split,
    *,
    spec: FinetuneSpec,
    device: torch.device,
    precision: Precision,
    progress: ProgressJournal,
) -> None:
    """Train the classifier in place; randomness comes from torch's global seed and `spec.seed`.

    The device is waited for only where a report is due, so a loss that is not finite ends training there.

    Raises:
        NumericsError: the loss or the gradient is not finite; in fp16, the gradient is not at any loss scale.
    """
    encoded = encode(split.examples, classifier)
    model = classifier.model.to(device).train()
    updates = Updates(model, task, weight_decay=spec.weight_decay, device=device, precision=precision)
    schedule = ScheduleSection(curve="linear", warmup=spec.warmup)
    num_steps = spec.epochs * -(-len(encoded) // spec.batch_size)
    for step, batch in enumerate(_iterate_epochs(encoded, classifier, spec=spec), start=1):
        # Use the middle of the step, so that neither the first nor the last step has a learning rate of 0.
        lr = spec.lr * learning_rate_factor(schedule, progress=(step - 0.5) / num_steps)
        updates.update(batch.to(device), lr=lr)
        progress.count_update(step, num_examples=len(batch.targets), num_positions=batch.num_positions)
        if progress.is_report_due(num_steps):
            figures = updates.read()
            _require_finite(figures, task=task, spec=spec, num_steps=num_steps)
            progress.report(figures, lr=lr, num_steps=num_steps)


def _require_finite(figures: ReadFigures, *, task: Task, spec: FinetuneSpec, num_steps: int) -> None:
    bad = figures.diverged
    if bad is None:
        return
    scale = "" if bad.loss_scale is None else f", loss scale {bad.loss_scale:g}"
    raise NumericsError(
        f"{task.name}: update {bad.step} of {num_steps}: loss {bad.loss}, gradient norm {bad.grad_norm}{scale}; "
        f"lower the learning rate ({spec.lr:g}) or check the export {spec.source_name}"
    )


def _iterate_epochs(
    encoded: list[EncodedExample], classifier: Classifier, *, spec: FinetuneSpec
) -> Iterator[PaddedBatch]:
    generator = torch.Generator().manual_seed(spec.seed)
    for _ in range(spec.epochs):
        yield from training_batches(
            encoded, batch_size=spec.batch_size, pad_id=classifier.tokenizer.pad_token_id, generator=generator
        )


def evaluate(
    classifier: Classifier,
    task: Task,
    *,
    train_split: Split,
    dev: dict[str, Split],
    device: torch.device,
    precision: Precision,
) -> tuple[dict[str, float], dict[str, float]]:
    """Every metric on every development set, for the model and for the majority guess.

    Raises:
        NumericsError: a prediction is not finite.
    """
    guess = majority_guess(_targets(train_split), is_class=task.labels is not None)
    metrics: dict[str, float] = {}
    majority: dict[str, float] = {}
    for suffix, split in dev.items():
        true = _targets(split)
        predicted = predict(classifier, task, split, device=device, precision=precision)
        for name in task.metrics:
            metrics[name + suffix] = METRICS[name](predicted, true)
            majority[name + suffix] = METRICS[name](np.full_like(true, guess), true)
    return metrics, majority


def predict(classifier: Classifier, task: Task, split: Split, *, device: torch.device, precision: Precision) -> Values:
    """Predict class ids or numbers, in the file's order.

    Raises:
        NumericsError: a prediction is not finite.
    """
    encoded = encode(split.examples, classifier)
    model = classifier.model.to(device).eval()
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].input_ids))
    predicted = np.empty(len(encoded), dtype=np.float64)
    with torch.inference_mode():
        for start in range(0, len(order), _EVALUATION_BATCH_SIZE):
            indices = order[start : start + _EVALUATION_BATCH_SIZE]
            batch = pad([encoded[index] for index in indices], pad_id=classifier.tokenizer.pad_token_id)
            logits_BC = classify(model, batch.to(device), precision=precision)
            if not bool(torch.isfinite(logits_BC).all()):
                raise NumericsError(f"{split.path}: a prediction is not finite; lower the learning rate")
            predictions_B = logits_BC[:, 0] if task.labels is None else logits_BC.argmax(dim=1)
            predicted[indices] = predictions_B.double().cpu().numpy()
    return predicted


def _targets(split: Split) -> Values:
    return np.array([example.target for example in split.examples], dtype=np.float64)
