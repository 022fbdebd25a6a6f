"""`python -m bertd.bench.glue.pretraining --data GLUE --shards DATA`: what a short pretraining buys on GLUE.

Two encoders of the demo's size are pretrained for the same time at once, by bertd and by a stock script, with half of
the cores each. They, and one of the same shape that was not pretrained, are finetuned by bertd with the same settings.
With the pretrained one a full grid shows what halving would have cost and saved.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bertd.bench.glue.encoders import BERTD, STOCK, UNTRAINED, PretrainedEncoder, pretrain_encoders
from bertd.bench.glue.grid_process import run_grid
from bertd.bench.glue.halving import format_halving, measure_halving
from bertd.bench.glue.inputs import BATCH_SIZE, BENCH_TASKS, EPOCHS, LEARNING_RATE, prepare_data
from bertd.bench.glue.machine import describe_machine
from bertd.bench.quality.train_arms import parse_budget_s
from bertd.errors import CorpusError
from bertd.program import run_main
from bertd.records import GridSpec, GridTrial, Preset
from bertd.run.amounts.durations import format_duration
from bertd.run.grid.finetune_grid import FIRST_SEED
from bertd.run.paths import find_data_set

_HALVING_TASKS = ("sst-2", "sts-b")
_HALVING_ROWS = 1_500
"""Training rows of each task: its grid has eight settings."""
DEMO_TASK = "demo"
"""The demo's own task, which has CoLA's layout."""

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""By task and encoder, one score for each seed."""


_DEMO_EPOCHS = 4
"""As many as the demo's: its task has a thousand examples."""


@dataclass(frozen=True)
class _Finetuning:
    """A task and how it is learnt."""

    task: str
    """Of GLUE, whose layout the files have."""
    folder: Path
    """Of the data."""
    epochs: int


def main() -> int:
    """Measure and print the tables."""
    return run_main(lambda: _measure(_parser().parse_args()))


def _measure(args: argparse.Namespace) -> None:
    print(describe_machine(), flush=True)
    with ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bertd-bench-glue-")))
        finetunings = _find_finetunings(args, folder / "data")
        encoders = pretrain_encoders(folder / "encoders", shards=str(find_data_set(args.shards)), budget_s=args.budget)
        print(f"\n{format_encoders(encoders, budget_s=args.budget)}", flush=True)
        scores = {
            name: {
                encoder.name: _finetune(
                    folder / f"{name}-{number}",
                    encoder=encoder.folder,
                    finetuning=finetuning,
                    num_seeds=args.seeds,
                    num_workers=args.workers,
                )
                for number, encoder in enumerate(encoders)
            }
            for name, finetuning in finetunings.items()
        }
        epochs = ", ".join(f"{name} {finetuning.epochs}" for name, finetuning in finetunings.items())
        print(f"\ndevelopment set, {args.seeds} seeds, median (least-most); {LEARNING_RATE:g}, epochs: {epochs}")
        print(format_scores(scores), flush=True)
        by_setting = measure_halving(
            folder / "halving",
            encoder=encoders[0].folder,
            data=prepare_data(args.data, folder / "data-halving", max_rows=_HALVING_ROWS),
            tasks=_HALVING_TASKS,
            num_seeds=args.seeds,
            num_workers=args.workers,
            epochs=1,
        )
        print(f"\na grid of {BERTD}'s encoder, {_HALVING_ROWS:,} training rows, {args.seeds} seeds")
        print(format_halving(by_setting))


def _find_finetunings(args: argparse.Namespace, data: Path) -> dict[str, _Finetuning]:
    """By the name in the table."""
    prepare_data(args.data, data)
    finetunings = {name: _Finetuning(name, data, args.epochs) for name in BENCH_TASKS}
    if args.demo is not None:
        finetunings[DEMO_TASK] = _Finetuning("cola", _find_demo_task(args.demo), _DEMO_EPOCHS)
    return finetunings


def _finetune(folder: Path, *, encoder: Path, finetuning: _Finetuning, num_seeds: int, num_workers: int) -> list[float]:
    """A score for each seed."""
    trials = [
        GridTrial(
            name=f"{finetuning.task}-seed{seed}",
            task=finetuning.task,
            seed=seed,
            lr=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            epochs=finetuning.epochs,
            weight_decay=0.1,
            warmup=0.06,
        )
        for seed in range(FIRST_SEED, FIRST_SEED + num_seeds)
    ]
    spec = GridSpec(
        preset=Preset.QUICK,
        source=str(encoder),
        source_name=encoder.name,
        data_dir=str(finetuning.folder),
        num_cpu_workers=num_workers,
        trials=trials,
    )
    scores = run_grid(spec, folder).scores
    print(f"{folder.name}: {[round(scores[trial.name].score, 3) for trial in trials]}", file=sys.stderr, flush=True)
    return [scores[trial.name].score for trial in trials]


def _find_demo_task(folder: Path) -> Path:
    found = sorted(folder.glob("data-*/glue"))
    if not found:
        raise CorpusError(f"{folder}: no data-*/glue in it; `make demo` writes it to .demo")
    return found[0]


def format_encoders(encoders: Sequence[PretrainedEncoder], *, budget_s: float) -> str:
    """What each was pretrained on, and its loss."""
    lines = [f"{format_duration(budget_s)} of pretraining{'':16}{'sequences':>10}{'validation loss':>20}"]
    for encoder in encoders:
        loss = f"{encoder.loss.value:.3f} +- {encoder.loss.standard_error:.3f}"
        lines.append(f"{encoder.name:36}{encoder.sequences:10,}{loss:>20}")
    return "\n".join(lines)


def format_scores(scores: Scores) -> str:
    """A row for each encoder, and how far bertd's is from the others; a mean is of GLUE's tasks.

    Ranges that do not overlap differ by more than the seeds' spread.
    """
    glue = [task for task in scores if task != DEMO_TASK]
    means = {
        encoder: [statistics.fmean(values) for values in zip(*(scores[task][encoder] for task in glue), strict=True)]
        for encoder in (BERTD, STOCK, UNTRAINED)
    }
    columns: dict[str, Mapping[str, Sequence[float]]] = {**{task: scores[task] for task in scores}, "mean": means}
    lines = [f"{'':18}{''.join(f'{name:>22}' for name in columns)}"]
    lines += [
        f"{encoder:18}{''.join(f'{_spread(column[encoder]):>22}' for column in columns.values())}"
        for encoder in (BERTD, STOCK, UNTRAINED)
    ]
    for other in (STOCK, UNTRAINED):
        cells = [_compare(column[BERTD], column[other]) for column in columns.values()]
        lines.append(f"{BERTD} minus {other}")
        lines.append(f"{'':18}{''.join(f'{cell:>22}' for cell in cells)}")
    if DEMO_TASK in scores:
        lines.append(f"mean: without {DEMO_TASK}, seed by seed")
    return "\n".join(lines)


def _compare(ours: Sequence[float], other: Sequence[float]) -> str:
    difference = statistics.median(ours) - statistics.median(other)
    is_apart = min(ours) > max(other) or max(ours) < min(other)
    return f"{difference:+.3f} {'apart' if is_apart else 'overlapping'}"


def _spread(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.3f} ({ordered[0]:.3f}-{ordered[-1]:.3f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bertd.bench.glue.pretraining", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="GLUE's official TSV layout")
    parser.add_argument("--shards", required=True, metavar="DATA", help="a data set for pretraining, by name or path")
    parser.add_argument("--demo", type=Path, metavar="FOLDER", help="of a demo, for its own task (none)")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="keep everything there; what is there from before is not done again",
    )
    parser.add_argument(
        "--budget", type=parse_budget_s, default=600.0, metavar="TIME", help="of each pretraining (10min)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="of each task (5)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of each task of GLUE ({EPOCHS})")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="finetunings at once (cores)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
