"""Masks: what is never masked, how often the rest is, and what the masks depend on."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bertd.data.batches.masking import IGNORE_INDEX, Masker
from bertd.data.batches.sampler import MAX_SEQUENCES
from bertd.tokenizer.tokenizer_json import BERT_TOKENS
from bertd.tokenizer.vocabulary import Vocabulary, make_vocabulary

S = 128
M = 19
_UNUSED = [f"[unused{i}]" for i in range(5)]
_WORDS = [f"word{i}" for i in range(700)] + [f"##piece{i}" for i in range(300)]
VOCABULARY: Vocabulary = make_vocabulary((*BERT_TOKENS.values(), *_UNUSED, *_WORDS), place="test")
FIRST_WORD = len(BERT_TOKENS) + len(_UNUSED)


def masker(
    *,
    seed: int = 7,
    replace: tuple[float, float, float] = (0.8, 0.1, 0.1),
    unit: Literal["token", "word"] = "token",
    copies: int | None = None,
) -> Masker:
    return Masker(
        seed=seed,
        rate=0.15,
        max_predictions=M,
        replace=replace,
        vocabulary=VOCABULARY,
        sequence_length=S,
        unit=unit,
        copies=copies,
    )


def full_rows(count: int, *, seed: int = 0) -> Tensor:
    """[CLS] words [SEP], with a [SEP] and an [UNK] somewhere inside."""
    draw = torch.Generator().manual_seed(seed)
    ids_BS = torch.randint(FIRST_WORD, VOCABULARY.size, (count, S), generator=draw)
    ids_BS[:, 0] = VOCABULARY.cls
    ids_BS[:, 40] = VOCABULARY.sep
    ids_BS[:, 90] = VOCABULARY.unk
    ids_BS[:, -1] = VOCABULARY.sep
    return ids_BS


def padded_rows(lengths: list[int]) -> Tensor:
    ids_BS = full_rows(len(lengths))
    for row, length in enumerate(lengths):
        ids_BS[row, length - 1] = VOCABULARY.sep
        ids_BS[row, length:] = VOCABULARY.pad
    return ids_BS


def within_binomial(count: int, *, of: int, share: float) -> bool:
    """Whether a count is within five standard deviations: chance alone exceeds them once in two million."""
    return abs(count - of * share) <= 5 * math.sqrt(of * share * (1 - share))


def test_a_full_sequence_has_exactly_the_fixed_number_of_predictions() -> None:
    batch = masker()(full_rows(200), torch.arange(200))
    assert batch.positions_BM.shape == batch.labels_BM.shape == (200, M)
    assert (batch.labels_BM != IGNORE_INDEX).all()
    for positions in batch.positions_BM.tolist():
        assert len(set(positions)) == M and positions == sorted(positions)


def test_labels_are_the_original_tokens_and_all_else_is_left_alone() -> None:
    ids_BS = full_rows(100)
    before_BS = ids_BS.clone()
    batch = masker()(ids_BS, torch.arange(100))
    assert torch.equal(ids_BS, before_BS)
    assert torch.equal(batch.labels_BM, ids_BS.gather(1, batch.positions_BM))
    restored_BS = batch.inputs_BS.scatter(1, batch.positions_BM, batch.labels_BM)
    assert torch.equal(restored_BS, ids_BS)


def test_special_tokens_and_padding_are_never_predicted() -> None:
    ids_BS = padded_rows([100, 60, 41, 12, 5] * 40)
    batch = masker()(ids_BS, torch.arange(200))
    predicted = batch.labels_BM[batch.labels_BM != IGNORE_INDEX]
    assert (predicted >= FIRST_WORD).all()
    assert torch.equal(batch.inputs_BS == VOCABULARY.pad, ids_BS == VOCABULARY.pad)


def test_a_padded_sequence_has_its_share_of_its_own_length_and_marks_the_rest_unused() -> None:
    lengths = [127, 100, 60, 41, 20, 12, 5, 3]
    batch = masker()(padded_rows(lengths), torch.arange(len(lengths)))
    for row, length in enumerate(lengths):
        used = (batch.labels_BM[row] != IGNORE_INDEX).tolist()
        wanted = min(M, max(1, round(0.15 * length)))
        assert used == [True] * wanted + [False] * (M - wanted)
        assert batch.positions_BM[row, wanted:].tolist() == [0] * (M - wanted)


def test_a_sequence_without_a_word_predicts_nothing() -> None:
    ids_BS = torch.full((1, S), VOCABULARY.sep)
    ids_BS[0, 0] = VOCABULARY.cls
    batch = masker()(ids_BS, torch.arange(1))
    assert (batch.labels_BM == IGNORE_INDEX).all()
    assert torch.equal(batch.inputs_BS, ids_BS)


@pytest.mark.parametrize("replace", [(0.8, 0.1, 0.1), (0.5, 0.3, 0.2), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_replacements_fall_in_the_shares_asked_for(replace: tuple[float, float, float]) -> None:
    batch = masker(replace=replace)(full_rows(2000), torch.arange(2000))
    shown_BM = batch.inputs_BS.gather(1, batch.positions_BM)
    total = shown_BM.numel()
    num_masked = int((shown_BM == VOCABULARY.mask).sum())
    num_kept = int((shown_BM == batch.labels_BM).sum())
    # A random word is the word itself once in as many words as there are.
    by_chance = replace[1] / len(VOCABULARY.word_ids())
    assert within_binomial(num_masked, of=total, share=replace[0])
    assert within_binomial(num_kept, of=total, share=replace[2] + by_chance)
    assert within_binomial(total - num_masked - num_kept, of=total, share=replace[1] - by_chance)


def test_every_position_is_predicted_equally_often() -> None:
    num_rows = 6000
    batch = masker()(full_rows(num_rows), torch.arange(num_rows))
    counts = torch.bincount(batch.positions_BM.flatten(), minlength=S)
    open_positions = [position for position in range(S) if position not in (0, 40, 90, S - 1)]
    for position in open_positions:
        assert within_binomial(int(counts[position]), of=num_rows, share=M / len(open_positions))
    assert counts[[0, 40, 90, S - 1]].tolist() == [0, 0, 0, 0]


def test_random_tokens_are_real_words_each_equally_often() -> None:
    num_rows = 3000
    batch = masker(replace=(0.0, 1.0, 0.0))(full_rows(num_rows), torch.arange(num_rows))
    drawn = batch.inputs_BS.gather(1, batch.positions_BM).flatten()
    counts = np.bincount(drawn.numpy(), minlength=VOCABULARY.size)
    assert counts[:FIRST_WORD].sum() == 0
    words = counts[VOCABULARY.word_ids()]
    expected = len(drawn) / len(words)
    # Chi-squared with 999 degrees of freedom: above 1,175 once in 10,000.
    assert ((words - expected) ** 2 / expected).sum() < 1175


@given(
    keys=st.lists(st.integers(min_value=0, max_value=2**62), min_size=1, max_size=30, unique=True),
    seed=st.integers(min_value=0, max_value=2**31 - 1),
)
def test_masks_depend_on_seed_and_key_and_not_on_the_batch(keys: list[int], seed: int) -> None:
    ids_BS = full_rows(len(keys))
    keys_B = torch.tensor(keys)
    mask = masker(seed=seed)
    together = mask(ids_BS, keys_B)
    for row in range(len(keys)):
        alone = mask(ids_BS[row : row + 1], keys_B[row : row + 1])
        assert torch.equal(alone.inputs_BS[0], together.inputs_BS[row])
        assert torch.equal(alone.positions_BM[0], together.positions_BM[row])


def test_another_epoch_or_seed_masks_differently() -> None:
    ids_BS = full_rows(100)
    keys_B = torch.arange(100)
    first = masker()(ids_BS, keys_B).positions_BM
    assert not torch.equal(first, masker()(ids_BS, keys_B + MAX_SEQUENCES).positions_BM)
    assert not torch.equal(first, masker(seed=8)(ids_BS, keys_B).positions_BM)


def test_ten_fixed_copies_come_round_after_ten_epochs() -> None:
    ids_BS = full_rows(50)
    mask = masker(copies=10)
    by_epoch = [mask(ids_BS, epoch * MAX_SEQUENCES + torch.arange(50)) for epoch in range(20)]
    distinct = {tuple(batch.positions_BM.flatten().tolist()) for batch in by_epoch}
    assert len(distinct) == 10
    for early, late in zip(by_epoch[:10], by_epoch[10:], strict=True):
        assert torch.equal(early.inputs_BS, late.inputs_BS)


def test_whole_words_are_predicted_whole_or_not_at_all() -> None:
    ids_BS = full_rows(400)
    batch = masker(unit="word")(ids_BS, torch.arange(400))
    is_continuation = torch.from_numpy(VOCABULARY.continuation_flags())
    is_special = torch.zeros(VOCABULARY.size, dtype=torch.bool)
    is_special[list(VOCABULARY.special)] = True
    for row in range(400):
        used = batch.labels_BM[row] != IGNORE_INDEX
        predicted = set(batch.positions_BM[row][used].tolist())
        for position in range(1, S):
            here, before = int(ids_BS[row, position]), int(ids_BS[row, position - 1])
            if is_continuation[here] and not is_special[before]:
                assert (position in predicted) == (position - 1 in predicted)
    # Words average 1.4 pieces, so a choice that must end at a word misses less than one prediction.
    assert (batch.labels_BM != IGNORE_INDEX).float().mean() > (M - 1) / M


def test_more_predictions_than_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="20 predictions in sequences of 10 tokens"):
        Masker(
            seed=0,
            rate=0.15,
            max_predictions=20,
            replace=(0.8, 0.1, 0.1),
            vocabulary=VOCABULARY,
            sequence_length=10,
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("unit", ["token", "word"])
def test_a_gpu_masks_as_the_cpu_does(unit: Literal["token", "word"]) -> None:
    ids_BS, keys_B = full_rows(500), torch.arange(500) * 7919
    on_cpu = masker(unit=unit)(ids_BS, keys_B)
    on_gpu = masker(unit=unit)(ids_BS.cuda(), keys_B.cuda())
    assert torch.equal(on_cpu.inputs_BS, on_gpu.inputs_BS.cpu())
    assert torch.equal(on_cpu.positions_BM, on_gpu.positions_BM.cpu())
    assert torch.equal(on_cpu.labels_BM, on_gpu.labels_BM.cpu())
