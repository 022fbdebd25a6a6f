"""The best answer is that of all parts of the context, over all windows, and its odds are against no answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.glue.data.squad import Question
from bertd.glue.kinds.spans import MAX_ANSWER_TOKENS, NO_SPAN_ODDS, FoundAnswer, read_answers
from bertd.glue.training.batches import EncodedExample
from bertd.glue.training.encode_questions import EncodedWindow

_BEFORE, _AFTER = 3, 1
"""Special tokens and question before the context's tokens, and a special token after them."""


def _window(question: int, *, first: int, length: int, blank: tuple[int, ...] = ()) -> EncodedWindow:
    """Tokens `first`, first + 1, ... of a context of letters, of which some have no character."""
    starts = np.arange(first, first + length)
    ends = np.array([start + (start not in blank) for start in starts.tolist()], dtype=np.int64)
    offsets = np.stack([starts, ends], axis=1).astype(np.int32)
    ids = [0] * (_BEFORE + length + _AFTER)
    return EncodedWindow(question, EncodedExample(ids, None, (0, 0)), _BEFORE, offsets)


def _ask(context: str) -> Question:
    return Question(id="q", text="?", context=context, answers=(), is_impossible=False)


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 45), min_size=1, max_size=3), st.booleans())
def test_the_best_part_of_the_context_is_found(seed: int, lengths: list[int], are_ties: bool) -> None:
    draw = np.random.default_rng(seed)
    blank = tuple(draw.integers(0, len(_LETTERS), size=5).tolist())
    windows = [_window(0, first=int(draw.integers(0, 4)), length=length, blank=blank) for length in lengths]
    size = sum(len(window.example.input_ids) for window in windows)
    outputs_N2 = draw.integers(-3, 4, size=(size, 2)).astype(float) if are_ties else draw.normal(size=(size, 2))
    (found,) = read_answers(outputs_N2, windows, [_ask(_LETTERS)])
    best, texts, nulls, row = -np.inf, [""], [], 0
    for window in windows:
        outputs = outputs_N2[row : row + len(window.example.input_ids)].tolist()
        row += len(outputs)
        nulls.append(sum(outputs[0]))
        tokens = window.offsets_W2.tolist()
        for i, (start, start_end) in enumerate(tokens):
            for j, (end_start, end) in enumerate(tokens[i : i + MAX_ANSWER_TOKENS], start=i):
                if start == start_end or end_start == end:
                    continue
                score = outputs[_BEFORE + i][0] + outputs[_BEFORE + j][1]
                if score > best:
                    best, texts = score, []
                if score == best:
                    texts.append(_LETTERS[start:end])
    assert found.text == texts[0]
    assert found.null_odds == (pytest.approx(min(nulls) - best) if texts[0] else NO_SPAN_ODDS)


def test_an_answer_is_as_long_as_it_may_be_and_no_longer() -> None:
    outputs_N2 = np.zeros((_BEFORE + 40 + _AFTER, 2))
    outputs_N2[_BEFORE + 2, 0] = outputs_N2[_BEFORE + 2 + MAX_ANSWER_TOKENS, 1] = 9
    (too_long,) = read_answers(outputs_N2, [_window(0, first=0, length=40)], [_ask(_LETTERS)])
    assert too_long.text in ("c", _LETTERS[3 : 3 + MAX_ANSWER_TOKENS])
    outputs_N2[_BEFORE + 1 + MAX_ANSWER_TOKENS, 1] = 9
    (longest,) = read_answers(outputs_N2, [_window(0, first=0, length=40)], [_ask(_LETTERS)])
    assert longest.text == _LETTERS[2 : 2 + MAX_ANSWER_TOKENS]
    assert longest.null_odds == -18


def test_no_answer_is_given_above_the_threshold_only_if_there_is_one() -> None:
    found = FoundAnswer("cat", null_odds=0.5)
    assert [found.decide(threshold) for threshold in (None, 1.0, 0.5, 0.4)] == ["cat", "cat", "cat", ""]
