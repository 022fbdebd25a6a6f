"""What an evaluation measured: printed by `bertd evaluate`, and kept in the folder of its job."""

from __future__ import annotations

from bertd.records.record import Record


class Evaluation(Record):
    """A model's predictions of the masked tokens of a validation split."""

    model: str
    """The run and its checkpoint, or the folder of the export."""
    shards: str
    """The data set's folder."""
    fingerprint: str
    """Of the data set."""
    loss: float
    """Mean cross-entropy in nats per predicted token."""
    standard_error: float | None
    """Of the loss, over the sequences; None with a single sequence."""
    accuracy: float
    """Share of the predicted tokens whose most probable entry is the right one, 0..1."""
    unigram_loss: float
    """Nats, of a guess by the token frequencies of the training text."""
    num_tokens: int
    """Predicted tokens."""
    num_sequences: int
    sequence_length: int

    @property
    def text(self) -> str:
        """One line."""
        error = "" if self.standard_error is None else f" +- {self.standard_error:.4f}"
        return (
            f"loss {self.loss:.4f}{error} nats, accuracy {100 * self.accuracy:.2f}%, on {self.num_tokens:,} masked "
            f"tokens of {self.num_sequences:,} sequences; word frequency alone has {self.unigram_loss:.4f}"
        )
