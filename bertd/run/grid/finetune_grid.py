"""The trials of a grid of finetunings: which settings a preset tries on each task, and in which order.

quick: one setting. fair: one setting for all tasks, several seeds, after Geiping and Goldstein 2022 (cramming),
cramming/config/eval/GLUE_sane.yaml with optim/adam.yaml; their learning rate decays as a cosine, bertd's linearly.
paper: the grid of Izsak et al. 2021, table 7, in which the tasks with more than 100,000 training examples have fewer
settings, but for SST-2. search: the same settings, of which halving may drop some. modern: one setting for each task
but WNLI, those of Warner et al. 2024 (ModernBERT), appendix; RTE, MRPC and STS-B they finetuned from MNLI.

A task of one's own has the settings that these rules give it by its size; modern, which has none by a rule, has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bertd.records import GLUE_FILES, GLUE_TASKS, VIA_TASKS, GridTrial, Preset, Via

ALL = "all"
GRID_TASKS = tuple(name for name in GLUE_TASKS if name != "ax")
"""What `all` means. Not ax: it trains on MNLI again, and mnli is scored on the diagnostic set anyway."""
FIRST_SEED = 42
_LARGE_TASKS = frozenset({"mnli", "qqp", "qnli"})
_MOST_SMALL_EXAMPLES = 100_000
"""Training examples of a small task of one's own at most. Source: see the module."""
_OWN_NAME_CHARACTERS = 40


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


def _modern(lr: float, weight_decay: float, epochs: int) -> _Settings:
    return _Settings(lrs=(lr,), batch_sizes=(64,), epochs=(epochs,), weight_decay=weight_decay)


_MODERN = {
    "cola": _modern(8e-5, 1e-6, 5),
    "sst-2": _modern(8e-5, 1e-5, 2),
    "mrpc": _modern(5e-5, 5e-6, 10),
    "sts-b": _modern(8e-5, 5e-6, 10),
    "qqp": _modern(5e-5, 5e-6, 10),
    "mnli": _modern(5e-5, 5e-6, 1),
    "qnli": _modern(8e-5, 5e-6, 2),
    "rte": _modern(5e-5, 1e-5, 3),
    "ax": _modern(5e-5, 5e-6, 1),
}
"""By task; ax trains as mnli does. The share of warm-up is bertd's usual one."""
NUM_SEEDS = {Preset.QUICK: 1, Preset.FAIR: 5, Preset.PAPER: 5, Preset.MODERN: 5, Preset.SEARCH: 5}
"""Where nobody says otherwise. Source of 5: fair's and paper's authors report the median of five trials."""


def parse_tasks(text: str, *, preset: Preset) -> list[str]:
    """The tasks of `all` or `cola,rte,...`, each once, in GLUE's order; `all` leaves out what the preset lacks.

    Raises:
        ValueError: one is not a task of GLUE, or there is none, or the preset has no setting for one that is named.
    """
    names = [name.strip() for name in text.split(",")]
    every = [task for task in GRID_TASKS if has_settings(preset, task)]
    wanted = {task for name in names for task in (every if name == ALL else [name])}
    unknown = [name for name in names if name != ALL and name not in GLUE_TASKS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a GLUE task; give {ALL}, or some of {','.join(GLUE_TASKS)}")
    tasks = [task for task in GLUE_TASKS if task in wanted]
    require_settings(tasks, preset=preset)
    return tasks


def require_settings(tasks: list[str], *, preset: Preset) -> None:
    """Check that the preset has settings for each task.

    Raises:
        ValueError: it has none for one.
    """
    for task in tasks:
        if not has_settings(preset, task):
            raise ValueError(f"{preset} has no published setting for {task}; leave it out, or give another preset")


def has_settings(preset: Preset, task: str) -> bool:
    """Whether the preset says how the task is finetuned."""
    return preset is not Preset.MODERN or task in _MODERN


def require_own_settings(preset: Preset) -> None:
    """Check that the preset has settings for a task of one's own.

    Raises:
        ValueError: it has not.
    """
    if preset is Preset.MODERN:
        raise ValueError(
            "modern has one published setting for each of GLUE's tasks, and none for data of your own; give "
            f"{Preset.FAIR}, or {Preset.SEARCH} to try several"
        )


def require_via(tasks: list[str], *, via: Via | None) -> None:
    """Check that the grid finetunes the task that others start from, and one of those.

    Raises:
        ValueError: it does not.
    """
    if via is None:
        return
    if via not in tasks:
        raise ValueError(f"starts from the model of {via}, which the grid must finetune: add it to --tasks")
    if not set(VIA_TASKS) & set(tasks):
        raise ValueError(f"is for {', '.join(VIA_TASKS)}: add one of them to --tasks")


def require_halving_settings(preset: Preset, *, is_halving: bool) -> None:
    """Check that a preset has settings of which some may be dropped.

    Raises:
        ValueError: it has not, or it is that of a paper, whose rule is the full grid.
    """
    if is_halving and preset is Preset.PAPER:
        raise ValueError(
            "the paper's grid is full, so its scores are not comparable with settings dropped; give search"
        )
    if is_halving and preset is not Preset.SEARCH:
        raise ValueError(f"{preset} has one setting for each task, so there is none to drop; give search")


def make_trials(
    tasks: list[str], *, preset: Preset, num_seeds: int | None = None, via: Via | None = None
) -> list[GridTrial]:
    """Every combination of each task's settings with the seeds from FIRST_SEED on.

    Args:
        tasks: of GLUE, for which the preset has settings.
        preset: which settings.
        num_seeds: None for those of the preset.
        via: the task from whose model VIA_TASKS start once more, with the same settings.
    """
    starts: list[tuple[str, Via | None]] = [(task, None) for task in dict.fromkeys(tasks)]
    if via is not None:
        starts += [(task, via) for task in dict.fromkeys(tasks) if task in VIA_TASKS]
    seeds = _seeds(preset, num_seeds)
    return [
        trial
        for task, start in starts
        for trial in _combine(f"{task}{_from(start)}", task, _settings(preset, task), seeds=seeds, via=start)
    ]


def make_own_trials(task: str, *, preset: Preset, num_train: int, num_seeds: int | None = None) -> list[GridTrial]:
    """Every combination of the settings for a task of one's own with the seeds from FIRST_SEED on.

    Args:
        task: its name.
        preset: not modern.
        num_train: training examples, which decide whether the paper's rule takes it for a large task.
        num_seeds: None for those of the preset.
    """
    settings = _settings(preset, task)
    if preset in (Preset.PAPER, Preset.SEARCH) and num_train > _MOST_SMALL_EXAMPLES:
        settings = _PAPER_LARGE
    # The name is part of a folder's: a file may be called anything, and longer.
    name = re.sub(r"[^A-Za-z0-9_]+", "-", task)[:_OWN_NAME_CHARACTERS].strip("-") or "own"
    return _combine(name, task, settings, seeds=_seeds(preset, num_seeds), via=None)


def _seeds(preset: Preset, num_seeds: int | None) -> range:
    return range(FIRST_SEED, FIRST_SEED + (NUM_SEEDS[preset] if num_seeds is None else num_seeds))


def _combine(name: str, task: str, settings: _Settings, *, seeds: range, via: Via | None) -> list[GridTrial]:
    return [
        GridTrial(
            name=f"{name}-lr{lr:g}-batch{batch_size}-epochs{epochs}-seed{seed}",
            task=task,
            via=via,
            seed=seed,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            weight_decay=settings.weight_decay,
            warmup=settings.warmup,
        )
        for seed, lr, batch_size, epochs in product(seeds, settings.lrs, settings.batch_sizes, settings.epochs)
    ]


def longest_first(trials: list[GridTrial], *, data_dir: Path | None) -> list[GridTrial]:
    """The trials by falling size of what they read: bytes of the training files, times epochs.

    Those of a task follow each other, so that a worker keeps it in memory: the order is that of their largest trials.

    Args:
        trials: of a grid.
        data_dir: of GLUE; None for one task of one's own.
    """
    tasks = {trial.task for trial in trials}
    sizes = {task: 1 if data_dir is None else train_bytes(task, data_dir=data_dir) for task in tasks}
    largest = {task: sizes[task] * max(t.epochs for t in trials if t.task == task) for task in sizes}
    return sorted(trials, key=lambda trial: (-largest[trial.task], trial.task, -trial.epochs))


def _from(via: Via | None) -> str:
    return "" if via is None else f"-from-{via}"


def _settings(preset: Preset, task: str) -> _Settings:
    match preset:
        case Preset.PAPER | Preset.SEARCH:
            return _PAPER_LARGE if task in _LARGE_TASKS or task == "ax" else _PAPER
        case Preset.MODERN:
            return _MODERN[task]
        case Preset.FAIR:
            return _FAIR
        case Preset.QUICK:
            return _QUICK


def train_bytes(task: str, *, data_dir: Path) -> int:
    """Size of a task's training files; 0 if there are none."""
    files = GLUE_FILES[task]
    train = data_dir / files.folder / files.train
    parts = [train] if train.is_file() else [*(data_dir / files.hub_folder).glob("train-*.parquet")]
    return sum(part.stat().st_size for part in parts)
