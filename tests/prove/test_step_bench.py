"""Micro-batches that are tried on a card follow from its memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bertd.bench.workload import plan_workload
from bertd.prove.sizes import choose_recipe
from bertd.prove.step_bench import choose_micros
from bertd.train.backends.precision import Precision
from bertd.train.run_inputs import encoder_config


@pytest.mark.parametrize(("gibibytes", "micros"), [(139, [512]), (24, [16, 64]), (8, [2, 8])])
def test_a_large_card_tries_one_size_and_a_small_one_what_fits(gibibytes: int, micros: list[int]) -> None:
    """Of the large model in 16 bits, whatever this machine has."""
    tiny = choose_recipe(is_cuda=False, is_tiny=True)
    workload = plan_workload(tiny, device=torch.device("cpu"), num_sequences=4, is_synthetic=True)
    config = encoder_config(choose_recipe(is_cuda=True, is_tiny=False), vocab_size=30_522)
    workload = replace(
        workload, config=config, sequence_length=128, precision=Precision("bf16", torch.bfloat16, needs_scaler=False)
    )
    assert choose_micros(workload, free_bytes=gibibytes << 30) == micros
