"""Finetune on one task: train on train.tsv, then compute every metric on the development sets.

The learning rate warms up linearly, then decays linearly to 0. Shape letters: see bertd.glue.batches; C is the width of
the classifier.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from bertd.errors import NumericsError
from bertd.glue.batches import EncodedExample, PaddedBatch, pad, training_batches
from bertd.glue.classifier import Classifier
from bertd.glue.device import leased_memory_bytes
from bertd.glue.encoding import encode
from bertd.glue.examples import Split
from bertd.glue.forward import classify
from bertd.glue.metrics import Values, compute_metric, majority_guess
from bertd.glue.progress import ProgressJournal, ReadFigures
from bertd.glue.read_ahead import read_ahead
from bertd.glue.tasks import Task
from bertd.glue.update import Updates
from bertd.records import FinetuneSpec
from bertd.run.recipe.schema import ScheduleSection
from bertd.train.backends.precision import Precision
from bertd.train.optim.schedule import learning_rate_factor

_EVALUATION_BATCH_SIZE = 64
"""On CPU."""
_SMALLEST_BATCH = 32
_LARGE_GPU_BYTES = 20 * 2**30
"""512 texts of 128 tokens take 2.4 GB in BERT-large: attention scores once in bf16 and twice in fp32, and the wide
activations of the feed-forward layer twice in bf16."""


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
    with read_ahead(_iterate_epochs(encoded, classifier, spec=spec), device=device) as batches:
        for step, batch in enumerate(batches, start=1):
            # Use the middle of the step, so that neither the first nor the last step has a learning rate of 0.
            lr = spec.lr * learning_rate_factor(schedule, progress=(step - 0.5) / num_steps)
            updates.update(batch, lr=lr)
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
            metrics[name + suffix] = compute_metric(name, predicted, true)
            majority[name + suffix] = compute_metric(name, np.full_like(true, guess), true)
    return metrics, majority


def predict(classifier: Classifier, task: Task, split: Split, *, device: torch.device, precision: Precision) -> Values:
    """Predict class ids or numbers, in the file's order.

    Raises:
        NumericsError: a prediction is not finite.
    """
    encoded = encode(split.examples, classifier)
    model = classifier.model.to(device).eval()
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].input_ids))
    size = evaluation_batch_size(device, max_length=classifier.max_length)
    padded = (
        pad([encoded[index] for index in order[start : start + size]], pad_id=classifier.tokenizer.pad_token_id)
        for start in range(0, len(order), size)
    )
    with torch.inference_mode(), read_ahead(padded, device=device) as batches:
        # The device is waited for once, when all batches are queued.
        outputs_BC = torch.cat([classify(model, batch, precision=precision) for batch in batches]).cpu()
    if not bool(torch.isfinite(outputs_BC).all()):
        raise NumericsError(f"{split.path}: a prediction is not finite; lower the learning rate")
    predictions_B = outputs_BC[:, 0] if task.labels is None else outputs_BC.argmax(dim=1)
    predicted = np.empty(len(encoded), dtype=np.float64)
    predicted[order] = predictions_B.double().numpy()
    return predicted


def evaluation_batch_size(device: torch.device, *, max_length: int) -> int:
    """Examples in an evaluation batch: 256 or, with GPU memory for it, 512; fewer of texts above 128 tokens.

    On CPU it is always the same, since the rounding of a prediction depends on it.
    """
    if device.type != "cuda":
        return _EVALUATION_BATCH_SIZE
    size = 512 if leased_memory_bytes() >= _LARGE_GPU_BYTES else 256
    # Attention's scores grow with the square of the length, if transformers keeps them.
    shrink = max(1, -(-max_length // 128)) ** 2
    return max(size // shrink, _SMALLEST_BATCH)


def _targets(split: Split) -> Values:
    return np.array([example.target for example in split.examples], dtype=np.float64)
