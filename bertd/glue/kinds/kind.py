"""A task with its data, as training and evaluation need it, whatever it predicts.

N  examples, or what is predicted of them
C  outputs for each
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bertd.glue.model.classifier import Classifier
from bertd.glue.model.head import Head
from bertd.glue.training.batches import EncodedExample
from bertd.glue.training.dev_predictions import SetPredictions

NULL_THRESHOLD = "null_threshold"
"""Among the metrics of a development set that has questions without an answer: the threshold, chosen on it."""


@dataclass(frozen=True)
class EncodedDevSet:
    """A tokenized development set."""

    path: Path
    encoded: list[EncodedExample]
    score: Callable[[Tensor], dict[str, float]]
    """The metrics, by names with the set's suffix, of the outputs that `predict_outputs` gives."""
    suffix: str = ""
    decide: Callable[[Tensor], SetPredictions] | None = None
    """The predictions of the same outputs."""
    predictions_suffix: str | None = None
    """Under which they are kept; None: `suffix`."""


@dataclass(frozen=True)
class Kind(ABC):
    """A task of one kind with its examples."""

    name: str
    """As in FinetuneSpec.task."""
    text: tuple[str, ...]
    """Columns of the text."""
    head: Head
    headline: str
    """The main metric."""
    selection_metric: str
    """The metric, on the first development set, of which the best epoch is kept."""
    num_train: int
    num_dev: int
    """Examples of the first development set."""
    dev_description: str
    """The first development set, for people."""
    warnings: list[tuple[str, str]]
    """Code and message of what a person should know of the data."""

    def largest_stride(self, max_length: int) -> int | None:
        """Tokens from one window of a long text to the next, at most; None where long texts are cut or split.

        Args:
            max_length: of an input.
        """
        return None

    @abstractmethod
    def encode_train(self, classifier: Classifier) -> list[EncodedExample]:
        """Tokenize the training examples."""

    @abstractmethod
    def encode_dev(self, classifier: Classifier) -> list[EncodedDevSet]:
        """Tokenize the development sets."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, without a read from the device."""

    @abstractmethod
    def baseline(self) -> dict[str, float]:
        """Every metric of the best constant guess."""
