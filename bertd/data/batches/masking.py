"""Choose and replace the tokens to predict, on the batch's own device: vectorised, fixed shapes, no synchronisation.

The choice is a pure function of (seed, key), where the key names epoch and sequence: a counter-based hash
(SplitMix64's finaliser) gives each position a score, and the positions with the lowest scores are predicted. It is
integer arithmetic only, so CPU and GPU choose the same. Every sequence has M prediction slots, so shapes never change;
a padded sequence uses fewer, in proportion to its real length, and its other slots are marked unused.

Shapes: B sequences, S tokens, M predicted tokens a sequence, V vocabulary.

Source: Devlin et al. 2019, section 3.1 (80/10/10). Their code and 24hBERT's draw the random token from all ids; here it
is a real word piece: never a special token, never an [unused] entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bertd.data.batches.sampler import MAX_SEQUENCES
from bertd.errors import VocabularyError
from bertd.tokenizer.vocabulary import Vocabulary

IGNORE_INDEX = -100
"""Label of a prediction slot that is not used."""

_POSITION_BITS = 13
"""Low bits of a score that hold its position: they make scores unique and limit sequences to 8,192 tokens."""

_CHOICE_STREAM, _REPLACEMENT_STREAM = 0, 1
_NOT_MASKABLE = 1 << 61
"""Above every score of a token that may be predicted."""
_SCORE_BITS = (_NOT_MASKABLE - 1) & ~((1 << _POSITION_BITS) - 1)
_PAST_LAST_POSITION = 1 << _POSITION_BITS
"""Above every position."""


@dataclass(frozen=True)
class MaskedBatch:
    """One micro-batch, masked."""

    inputs_BS: Tensor
    """int64 ids that the encoder sees."""
    positions_BM: Tensor
    """int64 positions to predict, ascending; 0 in unused slots, which come last."""
    labels_BM: Tensor
    """int64 original ids at these positions; IGNORE_INDEX in unused slots."""

    def without_predictions_after(self, num_rows: int) -> MaskedBatch:
        """Keep the predictions of the first `num_rows` rows only; loss and gradient of the others are exactly 0."""
        labels_BM = self.labels_BM.clone()
        labels_BM[num_rows:] = IGNORE_INDEX
        return replace(self, labels_BM=labels_BM)


@dataclass(frozen=True)
class _Tables:
    """The masker's lookup tables on one device."""

    predictions_by_length: Tensor
    """(S + 1) number of predictions, by the number of real tokens in a sequence."""
    is_maskable: Tensor
    """(V) bool: False for special tokens."""
    is_continuation: Tensor
    """(V) bool: True for pieces that continue a word."""
    word_ids: Tensor
    """Ids that a random token is drawn from."""


class Masker:
    """Masks batches for one run: same seed and key, same masks, on any device and for any number of ranks."""

    def __init__(
        self,
        *,
        seed: int,
        rate: float,
        max_predictions: int,
        replace: tuple[float, float, float],
        vocabulary: Vocabulary,
        sequence_length: int,
        unit: Literal["token", "word"] = "token",
        copies: int | None = None,
    ) -> None:
        """Prepare the tables.

        Args:
            rate: share of a sequence's tokens, [CLS] and [SEP] counted, that is predicted.
            max_predictions: M, the most in a sequence.
            replace: shares of predicted tokens that become [MASK], a random token, stay.
            unit: word masks all pieces of a word or none of them; a word that no longer fits into M is not masked.
            copies: number of fixed masks a sequence, used in turn, one an epoch; None draws new ones each epoch.

        Raises:
            ValueError: more predictions than tokens, or sequences longer than a score's position bits can number.
            VocabularyError: `unit` is word, and the vocabulary does not mark where words begin.
        """
        if not max_predictions <= sequence_length <= 1 << _POSITION_BITS:
            raise ValueError(
                f"{max_predictions} predictions in sequences of {sequence_length} tokens; set at most as many "
                f"predictions as tokens, and at most {1 << _POSITION_BITS} tokens"
            )
        if unit == "word" and not vocabulary.marks_word_starts:
            raise VocabularyError('masking.unit = "word": this vocabulary does not mark where words begin; use "token"')
        self.num_predictions = max_predictions
        """M."""
        self._mask_id = vocabulary.mask
        self._pad_id = vocabulary.pad
        self._mask_share, self._random_share, _ = replace
        self._unit = unit
        self._copies = copies
        self._seed = int(_mix(torch.tensor(seed)))
        num_by_length = [min(max_predictions, max(1, round(rate * length))) for length in range(sequence_length + 1)]
        maskable = torch.ones(vocabulary.size, dtype=torch.bool)
        maskable[list(vocabulary.special)] = False
        self._cpu_tables = _Tables(
            predictions_by_length=torch.tensor(num_by_length),
            is_maskable=maskable,
            is_continuation=torch.from_numpy(vocabulary.continuation_flags()),
            word_ids=torch.from_numpy(vocabulary.word_ids()),
        )
        self._tables_by_device: dict[torch.device, _Tables] = {}

    def __call__(self, ids_BS: Tensor, keys_B: Tensor) -> MaskedBatch:
        """Mask a micro-batch on its device.

        Args:
            ids_BS: int64; not modified.
            keys_B: int64, one for each (epoch, sequence).
        """
        tables = self._tables_on(ids_BS.device)
        keys_B = self._fold_epochs(keys_B)
        # 1. Choose M scores a sequence; the low bits of a score are its position.
        scores_BM = self._choose_positions(ids_BS, keys_B, tables)
        is_used_BM = scores_BM < _NOT_MASKABLE
        # 2. Sort the slots by position, unused ones last, and point the unused ones at position 0, [CLS].
        positions_BM = (
            torch.where(is_used_BM, scores_BM & (1 << _POSITION_BITS) - 1, _PAST_LAST_POSITION).sort(dim=1).values
        )
        is_used_BM = positions_BM < _PAST_LAST_POSITION
        positions_BM = torch.where(is_used_BM, positions_BM, 0)
        # 3. Draw the replacements and write them into a copy; the id under unused slots is written back unchanged.
        original_BM = ids_BS.gather(1, positions_BM)
        replacement_BM = self._choose_replacements(original_BM, keys_B, positions_BM, tables)
        inputs_BS = ids_BS.scatter(1, positions_BM, torch.where(is_used_BM, replacement_BM, original_BM))
        return MaskedBatch(inputs_BS, positions_BM, torch.where(is_used_BM, original_BM, IGNORE_INDEX))

    def _tables_on(self, device: torch.device) -> _Tables:
        if device not in self._tables_by_device:
            self._tables_by_device[device] = _Tables(
                **{name: table.to(device) for name, table in vars(self._cpu_tables).items()}
            )
        return self._tables_by_device[device]

    def _fold_epochs(self, keys_B: Tensor) -> Tensor:
        """Map each key's epoch to one of the fixed copies, if there are any."""
        if self._copies is None:
            return keys_B
        epochs_B, indices_B = keys_B // MAX_SEQUENCES, keys_B % MAX_SEQUENCES
        return epochs_B % self._copies * MAX_SEQUENCES + indices_B

    def _choose_positions(self, ids_BS: Tensor, keys_B: Tensor, tables: _Tables) -> Tensor:
        """Choose M scores a sequence, the position in their low bits; unused slots have _NOT_MASKABLE or more."""
        positions_S = torch.arange(ids_BS.shape[1], device=ids_BS.device)
        if self._unit == "word":
            is_continuation_BS = tables.is_continuation[ids_BS]
            # All pieces of a word hash its first piece's position, so that their scores differ in the low bits only.
            starts_BS = torch.where(is_continuation_BS, 0, positions_S).cummax(dim=1).values
        else:
            starts_BS = positions_S.expand_as(ids_BS)
        hashed_BS = _hash(self._seed, keys_B[:, None], starts_BS, _CHOICE_STREAM) & _SCORE_BITS
        # Special tokens score above all others. So does position 0: it is [CLS], and unused slots point at it.
        is_maskable_BS = tables.is_maskable[ids_BS] & (positions_S > 0)
        scores_BS = torch.where(is_maskable_BS, hashed_BS, _NOT_MASKABLE) | positions_S
        # The number of predictions follows from the real length; the lowest scores win.
        lengths_B = (ids_BS != self._pad_id).sum(dim=1)
        num_wanted_B1 = tables.predictions_by_length[lengths_B][:, None]
        if self._unit == "token":
            lowest_BM = scores_BS.topk(self.num_predictions, dim=1, largest=False).values
            slots_M = torch.arange(self.num_predictions, device=ids_BS.device)
            return torch.where(slots_M < num_wanted_B1, lowest_BM, _NOT_MASKABLE)
        return self._choose_whole_words(scores_BS, num_wanted_B1)

    def _choose_whole_words(self, scores_BS: Tensor, num_wanted_B1: Tensor) -> Tensor:
        """Take the lowest scores as long as complete words fit; the first word that does not fit ends the choice."""
        # The pieces of a word are adjacent in the sorted scores. One score more than M shows whether the word in the
        # last slot is complete.
        span = min(self.num_predictions + 1, scores_BS.shape[1])
        lowest_BN = scores_BS.sort(dim=1).values[:, :span]
        words_BN = lowest_BN >> _POSITION_BITS
        slots_N = torch.arange(span, device=scores_BS.device)
        is_last_BN = torch.ones_like(words_BN, dtype=torch.bool)
        is_last_BN[:, :-1] = words_BN[:, :-1] != words_BN[:, 1:]
        # Cut after the last word end that is within the wanted number.
        num_fitting_B1 = torch.where(is_last_BN & (slots_N < num_wanted_B1), slots_N + 1, 0).amax(dim=1, keepdim=True)
        return torch.where(slots_N < num_fitting_B1, lowest_BN, _NOT_MASKABLE)[:, : self.num_predictions]

    def _choose_replacements(
        self, original_BM: Tensor, keys_B: Tensor, positions_BM: Tensor, tables: _Tables
    ) -> Tensor:
        """Draw what replaces each predicted token: [MASK], a random word piece, or the token itself."""
        hashed_BM = _hash(self._seed, keys_B[:, None], positions_BM, _REPLACEMENT_STREAM)
        # One hash gives two independent 31-bit numbers: the kind of replacement, and the random word.
        draw_BM = hashed_BM >> 32 & 0x7FFFFFFF
        word_index_BM = (hashed_BM & 0x7FFFFFFF) * len(tables.word_ids) >> 31
        replaced_BM = torch.where(
            draw_BM < round((self._mask_share + self._random_share) * 2**31),
            tables.word_ids[word_index_BM],
            original_BM,
        )
        return torch.where(draw_BM < round(self._mask_share * 2**31), self._mask_id, replaced_BM)


def _hash(seed: int, keys: Tensor, positions: Tensor, stream: int) -> Tensor:
    """64 hashed bits, as int64, for each (seed, key, position, stream); broadcasts."""
    return _mix(_mix(keys ^ seed) + (positions << 1 | stream))


def _mix(values: Tensor) -> Tensor:
    """SplitMix64's finaliser; int64 products wrap, and a masked shift is a logical one."""
    values = values + _as_int64(0x9E3779B97F4A7C15)
    values = (values ^ _shift_right(values, 30)) * _as_int64(0xBF58476D1CE4E5B9)
    values = (values ^ _shift_right(values, 27)) * _as_int64(0x94D049BB133111EB)
    return values ^ _shift_right(values, 31)


def _shift_right(values: Tensor, bits: int) -> Tensor:
    return values >> bits & (1 << 64 - bits) - 1


def _as_int64(constant: int) -> int:
    return constant - (1 << 64)
