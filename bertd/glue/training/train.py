"""Finetune on one task's training set. The learning rate warms up linearly, then decays linearly to 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from bertd.errors import NumericsError
from bertd.glue.kinds.kind import Kind
from bertd.glue.model.classifier import Classifier
from bertd.glue.progress import ProgressJournal, ReadFigures
from bertd.glue.training.batches import EncodedExample, PaddedBatch, draw_epoch, training_batches
from bertd.glue.training.read_ahead import read_ahead
from bertd.glue.training.update import Updates
from bertd.records import FinetuneSpec
from bertd.run.learning_rate import learning_rate_factor
from bertd.run.recipe.schema import ScheduleSection
from bertd.train.backends.precision import Precision


def train(
    classifier: Classifier,
    kind: Kind,
    *,
    spec: FinetuneSpec,
    device: torch.device,
    precision: Precision,
    progress: ProgressJournal,
    restore: Callable[[Updates], int] | None = None,
    after_epoch: Callable[[Updates], object] | None = None,
) -> None:
    """Train the classifier in place; randomness comes from torch's global seed and `spec.seed`.

    The device is waited for only where a report is due and where an epoch ends, so a loss that is not finite ends
    training there.

    Args:
        restore: brings the model and its updates to where an earlier attempt left them; returns the epochs done.
        after_epoch: called after each epoch; must not draw from torch's global generator.

    Raises:
        NumericsError: the loss or the gradient is not finite; in fp16, the gradient is not at any loss scale.
    """
    encoded = kind.encode_train(classifier)
    model = classifier.model.to(device).train()
    updates = Updates(model, kind, weight_decay=spec.weight_decay, device=device, precision=precision)
    schedule = ScheduleSection(curve="linear", warmup=spec.warmup)
    steps_per_epoch = -(-len(encoded) // spec.batch_size)
    num_steps = spec.epochs * steps_per_epoch
    num_done = 0 if restore is None else restore(updates)
    epochs = _iterate_epochs(encoded, classifier, spec=spec, num_done=num_done)
    progress.begin_training()
    with read_ahead(epochs, device=device) as batches:
        for step, batch in enumerate(batches, start=num_done * steps_per_epoch + 1):
            # Use the middle of the step, so that neither the first nor the last step has a learning rate of 0.
            lr = spec.lr * learning_rate_factor(schedule, progress=(step - 0.5) / num_steps)
            updates.update(batch, lr=lr)
            progress.count_update(step, num_examples=len(batch.targets), num_positions=batch.num_positions)
            is_epoch_done = step % steps_per_epoch == 0
            if is_epoch_done or progress.is_report_due(num_steps):
                figures = updates.read()
                _require_finite(figures, name=kind.name, spec=spec, num_steps=num_steps)
                progress.report(figures, lr=lr, num_steps=num_steps)
            if is_epoch_done:
                progress.end_training()
                if after_epoch is not None:
                    after_epoch(updates)
                    model.train()
                progress.begin_training()


def _require_finite(figures: ReadFigures, *, name: str, spec: FinetuneSpec, num_steps: int) -> None:
    bad = figures.diverged
    if bad is None:
        return
    scale = "" if bad.loss_scale is None else f", loss scale {bad.loss_scale:g}"
    raise NumericsError(
        f"{name}: update {bad.step} of {num_steps}: loss {bad.loss}, gradient norm {bad.grad_norm}{scale}; "
        f"lower the learning rate ({spec.lr:g}) or check the export {spec.source_name}"
    )


def _iterate_epochs(
    encoded: list[EncodedExample], classifier: Classifier, *, spec: FinetuneSpec, num_done: int
) -> Iterator[PaddedBatch]:
    generator = torch.Generator().manual_seed(spec.seed)
    for _ in range(num_done):
        # The orders of later epochs are drawn after these.
        draw_epoch(encoded, batch_size=spec.batch_size, generator=generator)
    for _ in range(num_done, spec.epochs):
        yield from training_batches(encoded, batch_size=spec.batch_size, pad_id=classifier.pad_id, generator=generator)
