"""What halving costs and saves on real tasks: a full grid, and which of its trials halving would have run.

A trial of the full grid and the same one under halving are the same program with the same seed, so the full grid has
the score of every trial that halving needs; which ones those are is decided by the function that grids use.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

from bertd.bench.glue.grid_process import run_grid
from bertd.records import GridSpec, GridTrial, Preset
from bertd.run.grid.finetune_grid import FIRST_SEED
from bertd.run.grid.finetune_halving import surviving_settings

_LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
"""Around the demo's: the rates of the presets are for encoders of a day."""
_BATCH_SIZES = (16, 32)


@dataclass(frozen=True)
class Setting:
    """One of a task's settings."""

    lr: float
    batch_size: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.lr:g} x {self.batch_size} x {self.epochs}"


SettingScores = Mapping[Setting, Sequence[float]]
"""Of each setting one score for each seed."""


@dataclass(frozen=True)
class HalvingOutcome:
    """What halving would have ended with, for one order of the seeds."""

    chosen: Setting
    """The setting with the best median that `bertd scores` would show."""
    shown_score: float
    """That median, over the seeds that it was given."""
    full_score: float
    """The chosen setting's median over all seeds."""
    trial_share: float
    """Of the full grid's trials, and of its steps where each setting has as many epochs."""


def measure_halving(
    folder: Path, *, encoder: Path, data: Path, tasks: Sequence[str], num_seeds: int, num_workers: int, epochs: int
) -> dict[str, dict[Setting, list[float]]]:
    """Run the full grid; by task and setting, a score for each seed.

    Raises:
        BertdError: a trial has no score.
    """
    seeds = range(FIRST_SEED, FIRST_SEED + num_seeds)
    settings = [Setting(*values) for values in product(_LEARNING_RATES, _BATCH_SIZES, (epochs,))]
    names = {
        (task, setting, seed): f"{task}-lr{setting.lr:g}-batch{setting.batch_size}-epochs{setting.epochs}-seed{seed}"
        for task, setting, seed in product(tasks, settings, seeds)
    }
    trials = [
        GridTrial(
            name=name,
            task=task,
            seed=seed,
            lr=setting.lr,
            batch_size=setting.batch_size,
            epochs=setting.epochs,
            weight_decay=0.1,
            warmup=0.06,
        )
        for (task, setting, seed), name in names.items()
    ]
    spec = GridSpec(
        preset=Preset.SEARCH,
        source=str(encoder),
        source_name="pretrained",
        data_dir=str(data),
        num_cpu_workers=num_workers,
        trials=trials,
    )
    scores = run_grid(spec, folder).scores
    return {
        task: {setting: [scores[names[task, setting, seed]].score for seed in seeds] for setting in settings}
        for task in tasks
    }


def replay_halving(scores: SettingScores, *, order: Sequence[int]) -> HalvingOutcome:
    """What halving would have ended with, had the seeds been tried in this order."""
    num_seeds = len(order)
    in_order = {setting: [values[number] for number in order] for setting, values in scores.items()}
    num_tried = dict.fromkeys(in_order, 1)
    for rung in range(1, num_seeds):
        for setting in surviving_settings(in_order, rung=rung):
            num_tried[setting] = rung + 1
    shown = {setting: statistics.median(in_order[setting][:number]) for setting, number in num_tried.items()}
    chosen = max(shown, key=lambda setting: (shown[setting], num_tried[setting], -setting.lr))
    return HalvingOutcome(
        chosen=chosen,
        shown_score=shown[chosen],
        full_score=statistics.median(scores[chosen]),
        trial_share=sum(num_tried.values()) / (num_seeds * len(scores)),
    )


def format_halving(scores: Mapping[str, SettingScores]) -> str:
    """Of each task the best setting of the full grid, and what halving ends with for each order of the seeds."""
    lines = [
        f"{'':8} {'full grid: best setting':26} {'median':>7}   {'halving chooses it':>18} {'shown':>21} "
        f"{'over all seeds':>21} {'regret: mean, most':>20}"
    ]
    for task, by_setting in scores.items():
        best = max(by_setting, key=lambda setting: (statistics.median(by_setting[setting]), -setting.lr))
        best_score = statistics.median(by_setting[best])
        num_seeds = len(by_setting[best])
        outcomes = [replay_halving(by_setting, order=order) for order in permutations(range(num_seeds))]
        regrets = [best_score - outcome.full_score for outcome in outcomes]
        hits = sum(outcome.chosen == best for outcome in outcomes)
        lines.append(
            f"{task:8} {best!s:26} {best_score:7.3f}   {f'{hits} of {len(outcomes)} orders':>18} "
            f"{_range(outcome.shown_score for outcome in outcomes):>21} "
            f"{_range(outcome.full_score for outcome in outcomes):>21} "
            f"{f'{statistics.fmean(regrets):.3f}, {max(regrets):.3f}':>20}"
        )
    share = outcomes[0].trial_share
    lines.append(
        f"setting: learning rate x batch x epochs; halving trains {share:.0%} of the full grid's steps; median "
        "(least-most) over the orders of the seeds"
    )
    return "\n".join(lines)


def _range(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.3f} ({ordered[0]:.3f}-{ordered[-1]:.3f})"
