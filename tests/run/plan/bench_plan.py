"""`python -m tests.run.plan.bench_plan --data SHARDS`: what `bertd plan` says of a budget, and what the run then does.

Each recipe is planned as `bertd plan` does it, and then trained for the budget by the runner of a real run, in scratch
folders; once with the machine as it is, and once beside a process that keeps a core busy through both.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bertd.cli.commands.planning.rehearsal import Rehearsal
from bertd.errors import DeviceError
from bertd.program import run_main
from bertd.records import EndRecord, JobKind, StepRecord
from bertd.run.amounts.durations import parse_duration
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths, find_data_set
from bertd.run.plan.plan_run import plan_run
from bertd.run.plan.plan_warnings import find_warnings
from bertd.run.recipe.load import find_recipe, format_recipe, read_recipe
from bertd.run.recipe.schema import Recipe

RECIPES: dict[str, list[str]] = {
    "demo": [],
    "demo, 4 layers, one process, AdamW": [
        "model.layers=4",
        "devices.count=1",
        "optimizer.kind=adamw",
        "optimizer.peak_lr=2e-3",
    ],
    "demo, 64 tokens, 64 sequences": [
        "data.sequence_length=64",
        "masking.max_predictions=19",
        "batch.sequences=64",
        "batch.micro=32",
    ],
}
"""What each changes of the demo's recipe."""
_BUSY_LOOP = "while True: pass"


@dataclass(frozen=True)
class PlanResult:
    """One recipe's plan and run."""

    name: str
    is_beside_load: bool
    plan_s: float
    planned_steps: int
    steps: int
    planned_bytes: int | None
    used_bytes: int | None
    """Peak resident set of rank 0."""
    says_busy: bool
    """The plan warned that the machine was busy."""

    @property
    def step_error(self) -> float:
        """Of the plan, as a share of the steps that were done, with its sign."""
        return self.planned_steps / self.steps - 1.0


def main() -> int:
    """Plan and train all recipes; print the table."""
    return run_main(lambda: _compare(_parser().parse_args()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.run.plan.bench_plan", description=__doc__)
    parser.add_argument("--data", required=True, help="data set of the recipes, by name or path")
    parser.add_argument("--budget", type=parse_duration, default=180.0, metavar="TIME", help="of each run (3min)")
    parser.add_argument("--only", default="", metavar="TEXT", help="recipes whose name has it")
    parser.add_argument("--no-load", action="store_true", help="leave out the turns beside a busy process")
    return parser


def _compare(args: argparse.Namespace) -> None:
    shards = find_data_set(args.data).absolute()
    results: list[PlanResult] = []
    for name, changes in RECIPES.items():
        if args.only not in name:
            continue
        overrides = [*changes, f"data.shards={shards}", f"budget.hours={args.budget / 3600}"]
        recipe = read_recipe(find_recipe("demo"), overrides=overrides)
        for is_beside_load in (False, True):
            if not (is_beside_load and args.no_load):
                results.append(_measure(name, recipe, is_beside_load=is_beside_load))
                print(_row(results[-1]), file=sys.stderr, flush=True)
    print(format_table(results, budget_s=args.budget))


def _measure(name: str, recipe: Recipe, *, is_beside_load: bool) -> PlanResult:
    """Plan the recipe, then train it.

    Raises:
        DeviceError: the run did not end with its budget.
    """
    with tempfile.TemporaryDirectory(prefix="bertd-plan-bench-") as scratch, _load(is_on=is_beside_load):
        began_s = time.monotonic()
        measured = Rehearsal(Path(scratch)).measure(recipe)
        plan_s = time.monotonic() - began_s
        plan = plan_run(recipe, measured)
        warnings = find_warnings(recipe, plan, free_bytes=None, folder=Path(scratch))
        steps, used_bytes = _train(recipe, Path(scratch) / "run")
    return PlanResult(
        name=name,
        is_beside_load=is_beside_load,
        plan_s=plan_s,
        planned_steps=plan.steps,
        steps=steps,
        planned_bytes=measured.memory_bytes,
        used_bytes=used_bytes,
        says_busy=any(warning.code == "busy" for warning in warnings),
    )


def _train(recipe: Recipe, folder: Path) -> tuple[int, int | None]:
    """Train a recipe by the runner; returns its steps and the peak memory of rank 0.

    Raises:
        DeviceError: it did not end with its budget.
    """
    paths = RunPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    paths.recipe.write_text(format_recipe(recipe))
    command = [sys.executable, "-m", "bertd.jobs.runner", str(folder), JobKind.PRETRAIN]
    with paths.log.open("wb") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    records = read_journal(paths.journal)
    ends = [record for record in records if isinstance(record, EndRecord) and record.reason == "budget"]
    if not ends:
        raise DeviceError(f"the run did not end with its budget: {paths.log.read_text(errors='replace')[-2000:]}")
    used = [record.memory_bytes for record in records if isinstance(record, StepRecord) and record.memory_bytes]
    return ends[-1].step, max(used, default=None)


@contextmanager
def _load(*, is_on: bool) -> Iterator[None]:
    """A process that keeps a core busy."""
    if not is_on:
        yield
        return
    busy = subprocess.Popen([sys.executable, "-c", _BUSY_LOOP])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def format_table(results: list[PlanResult], *, budget_s: float) -> str:
    """All results as Markdown."""
    cores = len(os.sched_getaffinity(0))
    head = f"{budget_s:g} s a run, {cores} cores, {platform.processor() or platform.machine()}"
    titles = (
        "| recipe | beside a busy process | plan took | planned steps | steps | off by | memory off by | said busy |"
    )
    return "\n".join([head, "", titles, "|---|---|---|---|---|---|---|---|", *map(_row, results)])


def _row(result: PlanResult) -> str:
    memory = "-"
    if result.planned_bytes is not None and result.used_bytes:
        memory = f"{100 * (result.planned_bytes / result.used_bytes - 1):+.1f} %"
    cells = [
        result.name,
        "yes" if result.is_beside_load else "no",
        f"{result.plan_s:.0f} s",
        f"{result.planned_steps:,}",
        f"{result.steps:,}",
        f"{100 * result.step_error:+.1f} %",
        memory,
        "yes" if result.says_busy else "no",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
