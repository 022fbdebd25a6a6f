"""Finetune on one task: train on train.tsv, then compute every metric on the development sets.

AdamW with the defaults of the 24hBERT finetuning code (betas 0.9 and 0.999, gradient norm clipped at 1); the learning
rate warms up linearly, then decays linearly to 0. Shape letters: see bertd.glue.batches; C is the width of the
classifier.

In bf16 and fp16 the weights and the optimizer stay in fp32. In fp16 an update whose gradients overflow is skipped and
the loss scale halved; a loss that is not finite, or a scale below 1, ends the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertd.errors import NumericsError
from bertd.glue.batches import EncodedExample, PaddedBatch, encode, pad, training_batches
from bertd.glue.classifier import Classifier
from bertd.glue.examples import Split
from bertd.glue.metrics import METRICS, Values, majority_guess
from bertd.glue.progress import UpdateStats
from bertd.glue.tasks import Task
from bertd.records import FinetuneSpec
from bertd.run.recipe.schema import ScheduleSection
from bertd.train.backends.precision import Precision
from bertd.train.optim.schedule import learning_rate_factor
from bertd.train.optim.weight_decay import decay_groups

_BETAS = (0.9, 0.999)
_EPS = 1e-8
_CLIP = 1.0
"""Largest global gradient norm. Source: the 24hBERT finetuning example."""
_MIN_SCALE = 1.0
"""At a lower loss scale the gradient itself overflows fp16, 65,504 or more: training diverged."""
_EVALUATION_BATCH_SIZE = 64


def train(
    classifier: Classifier,
    task: Task,
    split: Split,
    *,
    spec: FinetuneSpec,
    device: torch.device,
    precision: Precision,
    report: Callable[[UpdateStats], None],
) -> None:
    """Train the classifier in place; randomness comes from torch's global seed and `spec.seed`.

    Raises:
        NumericsError: the loss or the gradient is not finite; in fp16, the gradient is not at any loss scale.
    """
    encoded = encode(split.examples, classifier)
    model = classifier.model.to(device).train()
    groups = decay_groups(model.parameters(), weight_decay=spec.weight_decay)
    optimizer = torch.optim.AdamW(groups, betas=_BETAS, eps=_EPS, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.needs_scaler)
    schedule = ScheduleSection(curve="linear", warmup=spec.warmup)
    num_steps = spec.epochs * -(-len(encoded) // spec.batch_size)
    for step, batch in enumerate(_iterate_epochs(encoded, classifier, spec=spec), start=1):
        # Use the middle of the step, so that neither the first nor the last step has a learning rate of 0.
        lr = spec.lr * learning_rate_factor(schedule, progress=(step - 0.5) / num_steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss = _loss(task, _logits(model, batch, device=device, precision=precision), batch.targets.to(device))
        torch.autograd.backward(scaler.scale(loss))
        # Clip the true gradient, without the loss scale.
        scaler.unscale_(optimizer)
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), _CLIP))
        # Skipped if a gradient overflowed fp16; then the scale is halved.
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        update = UpdateStats(
            step=step,
            num_steps=num_steps,
            num_examples=len(batch.targets),
            num_positions=batch.num_positions,
            loss=loss.item(),
            lr=lr,
            grad_norm=norm,
            loss_scale=scaler.get_scale() if scaler.is_enabled() else None,
        )
        if not _is_usable(update):
            scale = "" if update.loss_scale is None else f", loss scale {update.loss_scale:g}"
            raise NumericsError(
                f"{task.name}: update {step} of {num_steps}: loss {update.loss}, gradient norm {norm}{scale}; "
                f"lower the learning rate ({spec.lr:g}) or check the export {spec.source_name}"
            )
        report(update)


def _is_usable(update: UpdateStats) -> bool:
    if not np.isfinite(update.loss):
        return False
    # In fp16 a gradient may overflow, until the loss is not scaled up at all.
    return bool(np.isfinite(update.grad_norm)) if update.loss_scale is None else update.loss_scale >= _MIN_SCALE


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
            logits_BC = _logits(model, batch, device=device, precision=precision)
            if not bool(torch.isfinite(logits_BC).all()):
                raise NumericsError(f"{split.path}: a prediction is not finite; lower the learning rate")
            predictions_B = logits_BC[:, 0] if task.labels is None else logits_BC.argmax(dim=1)
            predicted[indices] = predictions_B.double().cpu().numpy()
    return predicted


def _targets(split: Split) -> Values:
    return np.array([example.target for example in split.examples], dtype=np.float64)


def _logits(model: nn.Module, batch: PaddedBatch, *, device: torch.device, precision: Precision) -> Tensor:
    inputs = {name: tensor_BS.to(device) for name, tensor_BS in batch.inputs.items()}
    with torch.autocast(device.type, dtype=precision.dtype, enabled=precision.dtype is not None):
        logits_BC: Tensor = model(**inputs).logits
    return logits_BC.float()


def _loss(task: Task, logits_BC: Tensor, targets_B: Tensor) -> Tensor:
    if task.labels is None:
        return F.mse_loss(logits_BC[:, 0], targets_B.float())
    return F.cross_entropy(logits_BC, targets_B.long())
