"""One class, or one number, for each text or pair of texts.

Shape letters: see bertd.glue.kinds.kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bertd.glue.data.examples import Split
from bertd.glue.data.task_data import TaskData
from bertd.glue.kinds.kind import EncodedDevSet, Kind
from bertd.glue.metrics import Values, compute_metric, majority_guess
from bertd.glue.model.classifier import Classifier
from bertd.glue.tasks import Task
from bertd.glue.training.batches import EncodedExample
from bertd.glue.training.dev_predictions import SetPredictions
from bertd.glue.training.encoding import encode
from bertd.glue.training.evaluate import predict_outputs
from bertd.glue.training.kept_encodings import KeptEncodings
from bertd.train.backends.precision import Precision


@dataclass(frozen=True)
class SequenceClassification(Kind):
    """GLUE's tasks, and tables of one's own."""

    data: TaskData
    encodings: KeptEncodings = field(default_factory=KeptEncodings, compare=False)

    @classmethod
    def of(cls, data: TaskData) -> SequenceClassification:
        """The kind of a task's examples."""
        return cls(
            name=data.task.name,
            text=data.task.sentences,
            head=data.task.head,
            headline=data.task.headline,
            selection_metric=data.task.selection_metric,
            num_train=len(data.train.examples),
            num_dev=len(next(iter(data.dev.values())).examples),
            dev_description=data.dev_description,
            warnings=data.warnings,
            data=data,
        )

    def encode_train(self, classifier: Classifier) -> list[EncodedExample]:
        """Tokenize the training examples, cut to the model's length."""
        return self.encodings.encode("train", self.data.train.examples, classifier)

    def encode_dev(self, classifier: Classifier) -> list[EncodedDevSet]:
        """Tokenize the development sets, cut to the model's length."""
        return [
            EncodedDevSet(
                split.path,
                self.encodings.encode(f"dev{suffix}", split.examples, classifier),
                partial(self._score, suffix=suffix),
                suffix=suffix,
                decide=partial(self._decide, suffix=suffix),
            )
            for suffix, split in self.data.dev.items()
        ]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the classes, or the squared error of the numbers.

        Args:
            logits: BC.
            targets: B, class ids or numbers.
        """
        if self.head.is_number:
            return F.mse_loss(logits[:, 0], targets.float())
        return F.cross_entropy(logits, targets.long())

    def baseline(self) -> dict[str, float]:
        """Every metric of the most common class, or of the mean."""
        guess = majority_guess(_targets(self.data.train), is_class=not self.head.is_number)
        metrics: dict[str, float] = {}
        for suffix, split in self.data.dev.items():
            metrics |= self._measure(np.full(len(split.examples), guess), suffix=suffix)
        return metrics

    def _score(self, outputs_NC: Tensor, *, suffix: str) -> dict[str, float]:
        return self._measure(_decide(self.data.task, outputs_NC), suffix=suffix)

    def _decide(self, outputs_NC: Tensor, *, suffix: str) -> SetPredictions:
        return SetPredictions(_decide(self.data.task, outputs_NC), _targets(self.data.dev[suffix]))

    def _measure(self, predicted: Values, *, suffix: str) -> dict[str, float]:
        true = _targets(self.data.dev[suffix])
        names = self.data.task.metrics_of(suffix)
        return {name + suffix: compute_metric(name, predicted, true) for name in names}


def predict(classifier: Classifier, task: Task, split: Split, *, device: torch.device, precision: Precision) -> Values:
    """Predict class ids or numbers, in the file's order.

    Raises:
        NumericsError: a prediction is not finite.
    """
    encoded = encode(split.examples, classifier)
    return _decide(task, predict_outputs(classifier, encoded, place=split.path, device=device, precision=precision))


def _decide(task: Task, outputs_NC: Tensor) -> Values:
    decided_N = outputs_NC[:, 0] if task.labels is None else outputs_NC.argmax(dim=1)
    decided: Values = decided_N.double().numpy()
    return decided


def _targets(split: Split) -> Values:
    return np.array([example.target for example in split.examples], dtype=np.float64)
