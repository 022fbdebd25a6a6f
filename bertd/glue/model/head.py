"""The part of a finetuned model that an encoder does not have: what it predicts, and the names of that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HeadKind(StrEnum):
    """What a head predicts, in transformers' words."""

    SEQUENCE = "sequence classification"
    TOKENS = "token classification"
    SPANS = "question answering"


@dataclass(frozen=True)
class Head:
    """A head as the model's configuration describes it."""

    kind: HeadKind
    names: tuple[str, ...]
    """Of the outputs, in the order of their ids; of a single one that is a number, the column's name."""
    is_number: bool = False
    """Whether the one output is a number to predict."""
