"""What a model predicted of the development sets, beside their labels, so that two models can be compared by example.

As a file: NumPy's compressed archive, with the arrays `predicted` and `true` of each set, whose names end in the set's
suffix. Rows are in the order of the set's file. Tags have a row for each word, under WORDS; answers are texts, under
QUESTIONS. Beside these are the arrays of DETAILS.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertd.errors import CheckpointError

WORDS, QUESTIONS = "_words", "_questions"
"""Suffixes of tags of words and of texts of answers; the names of their metrics do not have them."""
_PREDICTED, _TRUE = "predicted", "true"
TAG_NAMES, SENTENCE_LENGTHS = "names", "lengths"
"""Of WORDS: the tags by their ids, and the number of words in each sentence."""
ANSWER_F1, ANSWER_EXACT_MATCH = "f1", "exact_match"
"""Of QUESTIONS: of each prediction, by all right answers of its question."""
DETAILS = {WORDS: (TAG_NAMES, SENTENCE_LENGTHS), QUESTIONS: (ANSWER_F1, ANSWER_EXACT_MATCH)}
"""Further arrays by suffix, from which the metrics can be computed for a part of the sentences or questions."""


@dataclass(frozen=True)
class SetPredictions:
    """Of one development set: ids of classes, or numbers, one for each example; ids of tags, one for each word; or
    texts of answers, "" for none, beside the first right one."""

    predicted: NDArray[Any]
    true: NDArray[Any]
    details: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By the names in DETAILS; files of older versions have none."""


DevPredictions = dict[str, SetPredictions]
"""By the suffix of the set's metrics, or WORDS, or QUESTIONS."""


def pack_predictions(predictions: DevPredictions) -> bytes:
    """The file's content."""
    arrays: dict[str, NDArray[Any]] = {}
    for suffix, one in predictions.items():
        arrays |= {_PREDICTED + suffix: one.predicted, _TRUE + suffix: one.true}
        arrays |= {name + suffix: values for name, values in one.details.items()}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def unpack_predictions(content: bytes, *, place: str) -> DevPredictions:
    """The predictions that a file has.

    Raises:
        CheckpointError: the file is damaged; it is named by `place`.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            suffixes = [name.removeprefix(_PREDICTED) for name in arrays.files if name.startswith(_PREDICTED)]
            return {
                suffix: SetPredictions(
                    arrays[_PREDICTED + suffix],
                    arrays[_TRUE + suffix],
                    {name: arrays[name + suffix] for name in DETAILS.get(suffix, ()) if name + suffix in arrays},
                )
                for suffix in suffixes
            }
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{place}: the predictions are damaged ({type(error).__name__})") from error
