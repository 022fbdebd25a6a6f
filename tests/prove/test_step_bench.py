"""Micro-batches that are tried on a card follow from its memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertd.bench.turn_log import TurnRecord
from bertd.bench.workload import plan_workload
from bertd.prove.context import StepContext
from bertd.prove.results import read_findings
from bertd.prove.run_step import ProofOptions
from bertd.prove.sizes import choose_recipe
from bertd.prove.step_bench import StepTurnLog, choose_micros
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


def test_turns_are_in_the_findings_before_the_bench_is_over(tmp_path: Path) -> None:
    options = ProofOptions(out=tmp_path, device="cpu", is_tiny=True, minutes=1.0)
    context = StepContext(options, path=tmp_path / "step.json", seconds=60)
    log = StepTurnLog(context, step="ladder")
    for speed in (10.0, 30.0, 20.0):
        log.append(TurnRecord(repeat=1, name="ours", sequences_per_s=speed, loss=1.0, gpu=None))
    (figure,) = read_findings(tmp_path / "step.json").figures
    assert (figure.key, figure.value, figure.detail) == ("ladder.ours", 20.0, "of 3 turns so far")
    assert len((tmp_path / "ladder.jsonl").read_text().splitlines()) == 3
