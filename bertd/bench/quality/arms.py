"""The arms of the quality bench: runs of bertd by its own launcher, and stock BertForMaskedLM.

All have the same data set, hidden shape, cores and wall-clock budget. An arm of bertd is the recipe `fast` in that
shape with some overrides, so that a setting that wins here can be copied into a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class OurArm:
    """A run of bertd."""

    name: str
    keys: tuple[str, ...] = ()
    """Overrides after SMALL; a later one wins."""


@dataclass(frozen=True)
class StockArm:
    """BertForMaskedLM, AdamW and a linear schedule over the same budget."""

    name: str
    peak_lr: float
    keeps_pages: bool = False
    """Whether it uses the malloc settings of `bertd.train.backends.cpu_tuning`, which are not the default."""
    keys: tuple[str, ...] = ()
    """Overrides after SMALL; a later one wins."""


Arm = OurArm | StockArm

SMALL = (
    "run.name=quality",
    "model.layers=4",
    "model.width=256",
    "model.heads=4",
    "model.ffn=1024",
    "batch.sequences=16",
    "batch.micro=16",
    "validation.every=10min",
    "validation.max_sequences=64",
    "checkpoint.every=10min",
    "stop.rules=[]",
    "devices.kind=cpu",
    "devices.count=1",
)
"""`fast` in a shape that two cores can train within minutes, with little validation, since all arms are evaluated
afterwards. One process uses all cores: at such small batches two would spend their time exchanging gradients."""

MASKED_15 = ("masking.rate=0.15", "masking.max_predictions=20")
"""As in Devlin et al. 2019 and in stock scripts."""
MODERN = (
    "model.positions=rotary",
    "model.activation=geglu",
    "model.embedding_norm=true",
    "model.bias=false",
    "model.ffn=704",
)
"""ModernBERT's layer, with the same number of weights. Source: Warner et al. 2024."""
COUNTED = ("model.first_weights=cooccurrence", "optimizer.peak_lr=2.5e-4")
"""Weights that begin with what can be counted are not to be changed as fast as those that begin as noise."""
DRAWN = ("model.first_weights=normal", "optimizer.peak_lr=4e-3")
BEST = ("optimizer.clip=1.0", *COUNTED)

STOCK = (
    *(StockArm(f"BertForMaskedLM, AdamW {lr:g}", lr) for lr in (2.5e-4, 5e-4, 1e-3)),
    StockArm("BertForMaskedLM, 0.0005, pages kept", 5e-4, keeps_pages=True),
)
OURS = OurArm("bertd", BEST)
ABLATIONS = (
    OurArm("bertd, drawn first weights", (*BEST, *DRAWN)),
    OurArm("bertd, AdamW", (*BEST, "optimizer.kind=adamw")),
    OurArm("bertd, drawn, AdamW 2e-3", (*BEST, *DRAWN, "optimizer.kind=adamw", "optimizer.peak_lr=2e-3")),
    OurArm("bertd, 15 % masked", (*BEST, *MASKED_15)),
    OurArm("bertd, output bias from zero", (*BEST, "model.head_bias=zero")),
    OurArm("bertd, batches of 8", (*BEST, "batch.sequences=8", "batch.micro=8")),
    OurArm("bertd, batches of 32", (*BEST, "batch.sequences=32")),
    OurArm("bertd, peak rate 5e-4", (*BEST, "optimizer.peak_lr=5e-4")),
    OurArm("bertd, gradients not clipped", (*BEST, "optimizer.clip=0.0")),
    OurArm("bertd, drawn, depth-scaled", (*BEST, *DRAWN, "model.depth_scaled_init=true")),
    OurArm("bertd, drawn, rotary and GeGLU", (*BEST, *DRAWN, *MODERN)),
    OurArm("bertd, 6 layers x 384", (*BEST, "model.layers=6", "model.width=384", "model.heads=6", "model.ffn=1536")),
    OurArm("bertd, 2 layers x 256", (*BEST, "model.layers=2")),
)
"""OURS with one setting changed at a time."""


def build_small_recipe(*, shards: str, budget_s: float, keys: tuple[str, ...] = ()) -> Recipe:
    """The recipe of an arm of bertd.

    Raises:
        RecipeError: an override is not valid.
    """
    task = (f"data.shards={shards}", f"budget.hours={budget_s / 3600!r}")
    return read_recipe(find_recipe("fast"), overrides=[*SMALL, *task, *keys])
