"""What the bench asks of a side, bertd or the stock script: an order a line on its input, an answer a line back.

Both sides are processes that stay, so that neither is charged for its imports, and they take turns.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum

from bertd.records import FinetuneSpec, Record


class Padding(StrEnum):
    """How the stock script pads."""

    LONGEST = "longest in the batch"
    """The Trainer's default."""
    GROUPED = "group_by_length"
    """The longest in the batch, of examples that are grouped by length."""


class Order(Record):
    """One finetuning."""

    spec: FinetuneSpec
    max_rows: int | None = None
    """Training examples at most; None for all."""
    is_evaluated: bool = False
    """Whether the development set is scored after each epoch."""
    padding: Padding = Padding.LONGEST
    """Of the stock script; bertd has one way."""


class Answer(Record):
    """Its result."""

    num_examples: int
    """Trained on, over all epochs."""
    wall_s: float
    """From the first batch to the end of the last step."""
    cpu_s: float
    """Processor time of all threads meanwhile."""
    score: float | None = None
    """On the development set after the best epoch."""
    loss: float | None = None
    """Of the training examples, the mean over all updates, if the order is evaluated. It shows a difference that a
    score need not: the score of a model that has learnt little is that of a constant guess."""


def answer_orders(carry_out: Callable[[Order], Answer]) -> None:
    """Answer each order until the input ends; what is printed meanwhile goes to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    os.write(answers, b"ready\n")
    for line in sys.stdin:
        answer = carry_out(Order.model_validate_json(line))
        os.write(answers, answer.model_dump_json().encode() + b"\n")
