"""Three encoders of the demo's size: pretrained by bertd, by a stock script for the same time, and not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from transformers import AutoConfig, AutoModelForMaskedLM
from transformers.utils import logging

from bertd.bench.quality.arms import BEST, Arm, OurArm, StockArm, build_small_recipe
from bertd.bench.quality.evaluate import Evaluator, Mean
from bertd.bench.quality.train_arms import train_all
from bertd.run.atomic_files import atomic_write

BERTD, STOCK, UNTRAINED = "bertd", "BertForMaskedLM", "no pretraining"
_DEMO_SHAPE = ("model.layers=2",)
"""With SMALL's width, 256, that of recipes/demo.toml."""
ARMS: tuple[Arm, ...] = (
    OurArm(BERTD, (*BEST, *_DEMO_SHAPE)),
    # The best contender of the quality bench.
    StockArm(STOCK, 5e-4, keeps_pages=True, keys=_DEMO_SHAPE),
)
_EVALUATED_SEQUENCES = 512
_DONE = "encoders.json"


@dataclass(frozen=True)
class PretrainedEncoder:
    """A folder that stock transformers loads, with its tokenizer."""

    name: str
    folder: Path
    sequences: int
    """That it was trained on."""
    loss: Mean
    """In nats, of masked tokens of the validation split."""


_ENCODERS_ADAPTER = TypeAdapter(list[PretrainedEncoder])


def pretrain_encoders(folder: Path, *, shards: str, budget_s: float) -> list[PretrainedEncoder]:
    """Pretrain by bertd and by the stock script at the same time, with half of the cores each.

    Returns:
        Those two and one that was not pretrained; those that are in the folder from an earlier call, if it has them.

    Raises:
        BertdError: a pretraining failed; its output was printed.
    """
    done = folder / _DONE
    if done.is_file():
        return _ENCODERS_ADAPTER.validate_json(done.read_bytes())
    (ours, ours_spent), (stock, stock_spent) = train_all(
        ARMS, shards=shards, budget_s=budget_s, folder=folder, at_once=len(ARMS)
    )
    logging.disable_progress_bar()
    _copy_tokenizer(ours, stock)
    untrained = _save_untrained(folder / "untrained", like=ours)
    evaluator = Evaluator(build_small_recipe(shards=shards, budget_s=budget_s), max_sequences=_EVALUATED_SEQUENCES)
    encoders = [
        PretrainedEncoder(name, export, sequences, evaluator.evaluate(export).mean)
        for name, export, sequences in (
            (BERTD, ours, ours_spent.sequences),
            (STOCK, stock, stock_spent.sequences),
            (UNTRAINED, untrained, 0),
        )
    ]
    atomic_write(done, _ENCODERS_ADAPTER.dump_json(encoders))
    return encoders


def _save_untrained(folder: Path, *, like: Path) -> Path:
    """Write an encoder of the same shape with weights as stock transformers draws them; returns `folder`."""
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(like, local_files_only=True))
    model.save_pretrained(folder)
    _copy_tokenizer(like, folder)
    return folder


def _copy_tokenizer(source: Path, folder: Path) -> None:
    for file in source.iterdir():
        if not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
