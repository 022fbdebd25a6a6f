"""`python -m bertd.bench.quality --data SHARDS`: validation loss after equal training time, bertd against stock.

Each arm has the whole machine for the budget, one after the other; or, with `--at-once N`, N arms share the cores, so
that other load on the machine affects them equally. All arms are then evaluated by stock transformers on the same
masked tokens.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from bertd.bench.quality.arms import ABLATIONS, OURS, STOCK, Arm, StockArm, build_small_recipe
from bertd.bench.quality.evaluate import Evaluation, Evaluator
from bertd.bench.quality.stock import SpentBudget
from bertd.bench.quality.train_arms import parse_budget_s, train_all
from bertd.program import run_main
from bertd.run.amounts.durations import format_duration
from bertd.run.paths import find_data_set

_EVALUATED_SEQUENCES = 512


@dataclass(frozen=True)
class ResultRow:
    """One arm's result."""

    name: str
    is_stock: bool
    spent: SpentBudget
    evaluation: Evaluation


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
        trained = train_all(arms, shards=shards, budget_s=args.budget, folder=Path(folder), at_once=at_once)
        for arm, (export, spent) in zip(arms, trained, strict=True):
            rows.append(ResultRow(arm.name, isinstance(arm, StockArm), spent, evaluator.evaluate(export)))
    print(format_table(rows, evaluator, budget_s=args.budget, at_once=at_once))


def format_table(rows: list[ResultRow], evaluator: Evaluator, *, budget_s: float, at_once: int) -> str:
    """The results as a table, with notes on its columns."""
    stock = [row.evaluation for row in rows if row.is_stock]
    reference = min(stock, key=lambda evaluation: evaluation.mean.value) if stock else rows[0].evaluation
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
        loss, higher = row.evaluation.mean, row.evaluation.minus(reference)
        compared = "" if row.evaluation is reference else f"{higher.value:+.3f} +- {higher.standard_error:.3f}"
        lines.append(
            f"{row.name:34} {row.spent.steps:6,} {row.spent.sequences:9,} {row.spent.seconds:7.0f} "
            f"{f'{loss.value:.3f} +- {loss.standard_error:.3f}':>17} {compared:>17}".rstrip()
        )
    against = "the best stock arm" if stock else "the first row"
    notes = f"difference: against {against}, sequence by sequence; +-: standard error over them, one seed"
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
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="number of arms that run at once and share the cores (1)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
