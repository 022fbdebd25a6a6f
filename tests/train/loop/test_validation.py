"""Validation on the fixed set."""

from __future__ import annotations

import pytest
import torch

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.errors import ShardError
from bertd.train.loop.validation import Validator
from tests.train.loop.test_trainer import ALONE


def test_a_set_of_which_nothing_is_predicted_is_refused() -> None:
    """As with whole-word masking of text without spaces."""
    shares_V = torch.full((4,), 0.25, dtype=torch.float64)
    labels_BM = torch.full((2, 3), IGNORE_INDEX)
    batch = MaskedBatch(torch.zeros(2, 8, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64), labels_BM)

    with pytest.raises(ShardError, match=r'not one token .* is predicted, .*; set masking.unit = "token"'):
        Validator([batch], shares_V=shares_V, ranks=ALONE)

    labels_BM[1, 2] = 3
    Validator([batch], shares_V=shares_V, ranks=ALONE)
