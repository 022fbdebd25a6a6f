"""`python -m bertd.bench.quality --data SHARDS`: validation loss after equal training time, bertd against stock.

Each arm has the whole machine for the budget, one after the other; or, with `--at-once N`, N arms share the cores, so
that other load on the machine affects them equally. All arms are then evaluated by stock transformers on the same
masked tokens.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from bertd.bench.quality.arms import ABLATIONS, OURS, STOCK, Arm, StockArm, build_small_recipe
from bertd.bench.quality.evaluate import Evaluation, Evaluator, Mean
from bertd.bench.quality.stock import SpentBudget
from bertd.bench.quality.train_arms import parse_budget_s, train_all
from bertd.program import run_main
from bertd.run.amounts.durations import format_duration
from bertd.run.paths import find_data_set

_EVALUATED_SEQUENCES = 512
_FIRST_SEED = 42


@dataclass(frozen=True)
class ResultRow:
    """One arm's result."""

    name: str
    is_stock: bool
    spents: tuple[SpentBudget, ...]
    """Of each seed."""
    evaluations: tuple[Evaluation, ...]
    """Of each seed."""

    @property
    def mean(self) -> Mean:
        """Mean over seeds and sequences."""
        return mean_over_seeds([evaluation.mean for evaluation in self.evaluations])

    def minus(self, other: ResultRow) -> Mean:
        """This loss minus the other's, paired by seed and by sequence."""
        pairs = zip(self.evaluations, other.evaluations, strict=True)
        return mean_over_seeds([mine.minus(theirs) for mine, theirs in pairs])


def mean_over_seeds(means: list[Mean]) -> Mean:
    """The mean, with a standard error over sequences and, of several seeds, over these.

    The sequences are the same for all seeds, so their error does not fall with the number of seeds.
    """
    over_sequences = statistics.fmean(each.standard_error for each in means)
    over_seeds = statistics.stdev(each.value for each in means) / len(means) ** 0.5 if len(means) > 1 else 0.0
    return Mean(statistics.fmean(each.value for each in means), math.hypot(over_sequences, over_seeds))


def main() -> int:
    """Train and evaluate every arm; print the table."""
    return run_main(lambda: _compare(_parser().parse_args()))


def _compare(args: argparse.Namespace) -> None:
    arms: list[Arm] = [*STOCK, OURS]
    if args.ablations:
        arms = [OURS, *ABLATIONS]
    arms = [arm for arm in arms if any(text in arm.name for text in args.only)]
    at_once = min(args.at_once, len(os.sched_getaffinity(0)))
    rows: list[ResultRow] = []
    shards = str(find_data_set(args.data))
    evaluator = Evaluator(build_small_recipe(shards=shards, budget_s=args.budget), max_sequences=_EVALUATED_SEQUENCES)
    with tempfile.TemporaryDirectory(prefix="bertd-quality-") as folder:
        seeds = range(_FIRST_SEED, _FIRST_SEED + args.seeds)
        seeded = [replace(arm, keys=(*arm.keys, f"run.seed={seed}")) for arm in arms for seed in seeds]
        trained = train_all(seeded, shards=shards, budget_s=args.budget, folder=Path(folder), at_once=at_once)
        for number, arm in enumerate(arms):
            of_arm = trained[number * args.seeds : (number + 1) * args.seeds]
            spents = tuple(spent for _, spent in of_arm)
            evaluations = tuple(evaluator.evaluate(export) for export, _ in of_arm)
            rows.append(ResultRow(arm.name, isinstance(arm, StockArm), spents, evaluations))
    print(format_table(rows, evaluator, budget_s=args.budget, at_once=at_once))


def format_table(rows: list[ResultRow], evaluator: Evaluator, *, budget_s: float, at_once: int) -> str:
    """The results as a table, with notes on its columns."""
    stock = [row for row in rows if row.is_stock]
    reference = min(stock, key=lambda row: row.mean.value) if stock else rows[0]
    cores = len(os.sched_getaffinity(0))
    share = f"{cores} cores of a CPU" if at_once == 1 else f"1/{at_once} of {cores} cores of a CPU, {at_once} at once"
    lines = [
        f"{format_duration(budget_s)} each on {share}, fp32, torch {torch.__version__}, "
        f"transformers {version('transformers')}, Python {platform.python_version()}",
        f"judged on {evaluator.num_tokens:,} masked tokens (15 %) of the validation split; a guess by word frequency: "
        f"{evaluator.unigram_loss:.3f}, a uniform one: {evaluator.uniform_loss:.3f} nats",
        "",
        f"{'':34} {'steps':>6} {'sequences':>9} {'seconds':>7} {'validation loss':>17} {'difference':>17}",
    ]
    for row in rows:
        loss, higher = row.mean, row.minus(reference)
        compared = "" if row is reference else f"{higher.value:+.3f} +- {higher.standard_error:.3f}"
        steps, sequences, seconds = (
            statistics.fmean(values)
            for values in zip(*((each.steps, each.sequences, each.seconds) for each in row.spents), strict=True)
        )
        lines.append(
            f"{row.name:34} {steps:6,.0f} {sequences:9,.0f} {seconds:7.0f} "
            f"{f'{loss.value:.3f} +- {loss.standard_error:.3f}':>17} {compared:>17}".rstrip()
        )
    against = "the best stock arm" if stock else "the first row"
    num_seeds = len(rows[0].evaluations)
    over = "them, one seed" if num_seeds == 1 else f"them and over {num_seeds} seeds, which are paired, too"
    notes = f"difference: against {against}, sequence by sequence; +-: standard error over {over}"
    return "\n".join([*lines, "", notes])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bertd.bench.quality", description=__doc__)
    parser.add_argument("--data", required=True, metavar="SHARDS", help="a data set by name or path")
    parser.add_argument(
        "--budget", type=parse_budget_s, default=240.0, metavar="TIME", help="training time of each arm (4min)"
    )
    parser.add_argument("--ablations", action="store_true", help="bertd with one setting changed at a time")
    parser.add_argument(
        "--only", default=[""], nargs="+", metavar="TEXT", help="only arms whose name contains one of these"
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings of each arm (1)")
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="number of arms that run at once and share the cores (1)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
