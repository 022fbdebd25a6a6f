"""Predictions of a classifier, and its metrics on the development sets.

Shape letters: see bertd.glue.training.batches; N is the number of examples or of their tokens,
C the width of the classifier.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bertd.errors import NumericsError
from bertd.glue.kinds.kind import Kind
from bertd.glue.model.classifier import Classifier
from bertd.glue.training.batches import EncodedExample, pad
from bertd.glue.training.dev_predictions import DevPredictions
from bertd.glue.training.forward import forward
from bertd.glue.training.read_ahead import read_ahead
from bertd.train.backends.leased_device import leased_memory_bytes
from bertd.train.backends.precision import Precision

_EVALUATION_BATCH_SIZE = 64
"""On CPU."""
_SMALLEST_BATCH = 32
_LARGE_GPU_BYTES = 20 * 2**30
"""512 texts of 128 tokens take 2.4 GB in BERT-large: attention scores once in bf16 and twice in fp32, and the wide
activations of the feed-forward layer twice in bf16."""


class Evaluator:
    """Scores a classifier on every development set; they are tokenized once."""

    def __init__(self, classifier: Classifier, kind: Kind, *, device: torch.device, precision: Precision) -> None:
        self._classifier = classifier
        self._device = device
        self._precision = precision
        self._sets = kind.encode_dev(classifier)
        self.predictions: DevPredictions = {}
        """Of the newest evaluation."""

    def evaluate(self) -> dict[str, float]:
        """Every metric on every development set.

        Raises:
            NumericsError: a prediction is not finite.
        """
        metrics: dict[str, float] = {}
        predictions: DevPredictions = {}
        for dev in self._sets:
            outputs = predict_outputs(
                self._classifier, dev.encoded, place=dev.path, device=self._device, precision=self._precision
            )
            metrics |= dev.score(outputs)
            if dev.decide is not None:
                predictions[dev.predictions_suffix or dev.suffix] = dev.decide(outputs)
        self.predictions = predictions
        return metrics


def predict_outputs(
    classifier: Classifier, encoded: list[EncodedExample], *, place: Path, device: torch.device, precision: Precision
) -> Tensor:
    """The classifier's outputs, on the CPU: NC, fp32, in the examples' order; a row for each or each token.

    Raises:
        NumericsError: one is not finite.
    """
    model = classifier.model.to(device).eval()
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].input_ids))
    size = evaluation_batch_size(device, max_length=classifier.max_length)
    padded = (
        pad([encoded[index] for index in order[start : start + size]], pad_id=classifier.pad_id)
        for start in range(0, len(order), size)
    )
    with torch.inference_mode(), read_ahead(padded, device=device) as batches:
        outputs = [forward(model, batch, precision=precision) for batch in batches]
        is_by_token = outputs[0].dim() == 3
        num_rows = [output.shape[1] if is_by_token else 1 for output in outputs]
        # The device is waited for once, when all batches are queued.
        queued_NC = torch.cat([output.flatten(0, -2) for output in outputs]).cpu()
    rows_by_example: list[range] = [range(0)] * len(encoded)
    first_row = 0
    for rank, index in enumerate(order):
        num_padded = num_rows[rank // size]
        rows_by_example[index] = range(
            first_row, first_row + (len(encoded[index].input_ids) if is_by_token else num_padded)
        )
        first_row += num_padded
    outputs_NC = queued_NC[[row for rows in rows_by_example for row in rows]]
    if not bool(torch.isfinite(outputs_NC).all()):
        raise NumericsError(f"{place}: a prediction is not finite; lower the learning rate")
    return outputs_NC


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
