"""Tokenized examples, kept for the next model with the same tokenizer."""

from __future__ import annotations

from bertd.glue.data.examples import Example
from bertd.glue.model.classifier import Classifier
from bertd.glue.training.batches import EncodedExample
from bertd.glue.training.encoding import encode


class KeptEncodings:
    """What the newest tokenizer made of each split of a task."""

    def __init__(self) -> None:
        self._tokenizer: object = None
        self._by_split: dict[str, list[EncodedExample]] = {}

    def encode(self, split: str, examples: list[Example], classifier: Classifier) -> list[EncodedExample]:
        """The examples of a split as ids; not to be modified."""
        backend = classifier.tokenizer.backend_tokenizer
        # As `encode` sets them, so that the text below is equal before and after.
        backend.no_truncation()
        backend.no_padding()
        tokenizer = (backend.to_str(), classifier.max_length, classifier.has_segments)
        if tokenizer != self._tokenizer:
            self._tokenizer, self._by_split = tokenizer, {}
        if split not in self._by_split:
            self._by_split[split] = encode(examples, classifier)
        return self._by_split[split]
