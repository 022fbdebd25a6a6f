"""The best answer of each question, from the outputs of its windows, and the log-odds that it has none.

An answer's score is the output of its first token as a beginning plus that of its last as an end; no answer has that
of the token that stands for it, in the window where it is lowest. All parts of the context with up to
MAX_ANSWER_TOKENS are compared, not only those of the 20 best beginnings and ends. Source: the BERT repository's
run_squad.py.

N  tokens of all windows
W  tokens of one window's context
A  MAX_ANSWER_TOKENS
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertd.glue.data.squad import Question
from bertd.glue.metrics import Values
from bertd.glue.training.encode_questions import NULL_PLACE, EncodedWindow

MAX_ANSWER_TOKENS = 30
NO_SPAN_ODDS = 1e9
"""Log-odds of no answer where the context has no token that could be one: above any that a model gives, and finite, as
JSON needs."""


@dataclass(frozen=True)
class FoundAnswer:
    """What is found in a context."""

    text: str
    """The best part of the context; "" only where it has none."""
    null_odds: float
    """Score of no answer less that of the text."""

    def decide(self, null_threshold: float | None) -> str:
        """The prediction: "" where the odds are above the threshold, if there is one."""
        return "" if null_threshold is not None and self.null_odds > null_threshold else self.text


def read_answers(outputs_N2: Values, windows: list[EncodedWindow], questions: Sequence[Question]) -> list[FoundAnswer]:
    """The best answer of each question.

    Args:
        outputs_N2: of each token of each window, in their order: as a beginning, as an end.
    """
    best: list[tuple[float, str]] = [(-np.inf, "")] * len(questions)
    null_scores = [np.inf] * len(questions)
    row = 0
    for window in windows:
        number = window.question
        outputs_S2 = outputs_N2[row : row + len(window.example.input_ids)]
        row += len(outputs_S2)
        null_scores[number] = min(null_scores[number], float(outputs_S2[NULL_PLACE].sum()))
        score, first, last = _find_best(outputs_S2[window.first_place :][: len(window.offsets_W2)], window)
        if score > best[number][0]:
            start, end = int(window.offsets_W2[first, 0]), int(window.offsets_W2[last, 1])
            best[number] = score, questions[number].context[start:end]
    return [
        FoundAnswer(text, null_score - score if text else NO_SPAN_ODDS)
        for (score, text), null_score in zip(best, null_scores, strict=True)
    ]


def _find_best(outputs_W2: Values, window: EncodedWindow) -> tuple[float, int, int]:
    """The best score, of equals the first, with the first and the last token; minus infinity if there is none."""
    if not len(outputs_W2):
        return -np.inf, 0, 0
    is_text_W = window.offsets_W2[:, 0] < window.offsets_W2[:, 1]
    starts_W, ends_W = np.where(is_text_W, outputs_W2.T, -np.inf)
    beyond = np.full(MAX_ANSWER_TOKENS - 1, -np.inf)
    ends_WA = np.lib.stride_tricks.sliding_window_view(np.concatenate([ends_W, beyond]), MAX_ANSWER_TOKENS)
    scores_W = starts_W + ends_WA.max(axis=1)
    first = int(scores_W.argmax())
    return float(scores_W[first]), first, first + int(ends_WA[first].argmax())
