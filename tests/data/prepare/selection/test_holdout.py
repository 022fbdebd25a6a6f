"""What is held out of small corpora: pieces are disjoint, ascending, and leave text to train on."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertd.data.prepare.selection.holdout import MIN_TOKENS, find_pieces, hold_out


@given(
    sentences=st.lists(st.integers(min_value=1, max_value=3000), min_size=1, max_size=60),
    share=st.floats(min_value=0.001, max_value=0.5),
)
def test_pieces_leave_text_before_each_of_them(sentences: list[int], share: float) -> None:
    ends = np.cumsum(sentences)
    length = int(ends[-1])
    num_held = max(1, int(share * length))
    if length < 2:
        return
    pieces = find_pieces(ends, num_held=min(num_held, length // 2))
    bounds = [0, *(bound for piece in pieces for bound in piece)]
    assert bounds == sorted(set(bounds)) and bounds[-1] == length
    held = sum(end - begin for begin, end in pieces)
    assert held >= min(num_held, length // 2) * 0.5 and held < length


@given(
    lengths=st.lists(st.integers(min_value=1, max_value=50_000), min_size=1, max_size=30),
    share=st.floats(min_value=1e-6, max_value=1.0),
)
def test_both_splits_have_text_wherever_there_is_enough(lengths: list[int], share: float) -> None:
    chosen = hold_out(np.array(lengths), share=share)
    assert not set(chosen.whole) & set(chosen.cut)
    assert all(0 < tokens <= lengths[document] // 2 for document, tokens in chosen.cut.items())
    held = sum(lengths[document] for document in chosen.whole) + sum(chosen.cut.values())
    assert held < sum(lengths)
    if len(lengths) > 1 or lengths[0] >= 2 * MIN_TOKENS:
        assert held > 0


def test_a_text_without_ends_of_sentences_is_cut_all_the_same() -> None:
    assert find_pieces(np.array([1000]), num_held=100) == [(900, 1000)]
