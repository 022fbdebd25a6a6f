"""Train arms of the quality bench, some of them at once."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from bertd.bench.quality import ours
from bertd.bench.quality.arms import Arm, StockArm, build_small_recipe
from bertd.bench.quality.stock import SPENT_BUDGET_ADAPTER, SpentBudget
from bertd.errors import BertdError
from bertd.run.amounts.durations import format_duration, parse_duration


def train_all(
    arms: Sequence[Arm], *, shards: str, budget_s: float, folder: Path, at_once: int
) -> list[tuple[Path, SpentBudget]]:
    """Train each arm, `at_once` of them at the same time with an equal part of the cores each.

    Returns:
        Of each arm, in their order: a folder that stock transformers loads, and what was spent.

    Raises:
        BertdError: one failed; its output was printed.
    """
    cores = sorted(os.sched_getaffinity(0))
    shares: SimpleQueue[list[int]] = SimpleQueue()
    for first in range(at_once):
        shares.put(cores[first::at_once])

    def train(numbered: tuple[int, Arm]) -> tuple[Path, SpentBudget]:
        number, arm = numbered
        print(f"{arm.name}: {format_duration(budget_s)}", file=sys.stderr, flush=True)
        return _train(arm, shards=shards, budget_s=budget_s, folder=folder / str(number))

    # Each thread has its own CPU affinity, which its child processes inherit.
    with ThreadPoolExecutor(at_once, initializer=lambda: os.sched_setaffinity(0, shares.get())) as pool:
        return list(pool.map(train, enumerate(arms)))


def _train(arm: Arm, *, shards: str, budget_s: float, folder: Path) -> tuple[Path, SpentBudget]:
    if not isinstance(arm, StockArm):
        return ours.train(build_small_recipe(shards=shards, budget_s=budget_s, keys=arm.keys), folder)
    command = [sys.executable, "-m", "bertd.bench.quality.stock", shards, "--budget", str(budget_s)]
    command += ["--lr", str(arm.peak_lr), "--out", str(folder), *(["--keep-pages"] if arm.keeps_pages else [])]
    command += [word for key in arm.keys for word in ("--set", key)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BertdError(f"{arm.name}: ended with status {done.returncode}; its last output is above")
    return folder, SPENT_BUDGET_ADAPTER.validate_json(done.stdout.splitlines()[-1])


def parse_budget_s(text: str) -> float:
    """A time such as 4min, in seconds.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
