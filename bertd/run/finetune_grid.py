"""The trials of a grid of finetunings: which settings a preset tries on each task, and in which order.

quick: one setting. fair: one setting for all tasks, several seeds, after Geiping and Goldstein 2022 (cramming),
cramming/config/eval/GLUE_sane.yaml with optim/adam.yaml; their learning rate decays as a cosine, bertd's linearly.
paper: the grid of Izsak et al. 2021, table 7, in which the tasks with more than 100,000 training examples have fewer
settings, but for SST-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bertd.records import GLUE_FILES, GLUE_TASKS, GridTrial, Preset

ALL = "all"
GRID_TASKS = tuple(name for name in GLUE_TASKS if name != "ax")
"""What `all` means. Not ax: it trains on MNLI again, and mnli is scored on the diagnostic set anyway."""
FIRST_SEED = 42
_LARGE_TASKS = frozenset({"mnli", "qqp", "qnli"})


@dataclass(frozen=True)
class _Settings:
    lrs: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    epochs: tuple[int, ...]
    weight_decay: float = 0.1
    warmup: float = 0.06


_QUICK = _Settings(lrs=(5e-5,), batch_sizes=(32,), epochs=(3,))
_FAIR = _Settings(lrs=(4e-5,), batch_sizes=(16,), epochs=(5,), weight_decay=0.0, warmup=0.1)
_PAPER = _Settings(lrs=(1e-5, 3e-5, 5e-5, 8e-5), batch_sizes=(16, 32), epochs=(3, 5, 10))
_PAPER_LARGE = _Settings(lrs=(5e-5, 8e-5), batch_sizes=(32,), epochs=(3, 5))
NUM_SEEDS = {Preset.QUICK: 1, Preset.FAIR: 5, Preset.PAPER: 5}
"""Where nobody says otherwise. Source of 5: both papers report the median of five trials."""


def parse_tasks(text: str) -> list[str]:
    """The tasks of `all` or `cola,rte,...`, each once, in GLUE's order.

    Raises:
        ValueError: one is not a task of GLUE, or there is none.
    """
    names = [name.strip() for name in text.split(",")]
    wanted = {task for name in names for task in (GRID_TASKS if name == ALL else (name,))}
    unknown = [name for name in names if name != ALL and name not in GLUE_TASKS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a GLUE task; give {ALL}, or some of {','.join(GLUE_TASKS)}")
    return [task for task in GLUE_TASKS if task in wanted]


def make_trials(tasks: list[str], *, preset: Preset, num_seeds: int | None = None) -> list[GridTrial]:
    """Every combination of each task's settings with the seeds from FIRST_SEED on.

    Args:
        tasks: of GLUE.
        preset: which settings.
        num_seeds: None for those of the preset.
    """
    seeds = range(FIRST_SEED, FIRST_SEED + (NUM_SEEDS[preset] if num_seeds is None else num_seeds))
    return [
        GridTrial(
            name=f"{task}-lr{lr:g}-batch{batch_size}-epochs{epochs}-seed{seed}",
            task=task,
            seed=seed,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            weight_decay=settings.weight_decay,
            warmup=settings.warmup,
        )
        for task in dict.fromkeys(tasks)
        for settings in (_settings(preset, task),)
        for seed, lr, batch_size, epochs in product(seeds, settings.lrs, settings.batch_sizes, settings.epochs)
    ]


def longest_first(trials: list[GridTrial], *, data_dir: Path) -> list[GridTrial]:
    """The trials by falling size of what they read: bytes of the training files, times epochs."""
    sizes = {task: _train_bytes(task, data_dir=data_dir) for task in {trial.task for trial in trials}}
    return sorted(trials, key=lambda trial: -sizes[trial.task] * trial.epochs)


def _settings(preset: Preset, task: str) -> _Settings:
    if preset is Preset.PAPER:
        return _PAPER_LARGE if task in _LARGE_TASKS or task == "ax" else _PAPER
    return _FAIR if preset is Preset.FAIR else _QUICK


def _train_bytes(task: str, *, data_dir: Path) -> int:
    files = GLUE_FILES[task]
    train = data_dir / files.folder / files.train
    parts = [train] if train.is_file() else [*(data_dir / files.hub_folder).glob("train-*.parquet")]
    return sum(part.stat().st_size for part in parts)
