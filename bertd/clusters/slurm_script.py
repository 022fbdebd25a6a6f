"""The script that Slurm's `sbatch` takes. Pure.

Slurm signals the script PAUSE_S before its limit; the script has the run pause, which saves a checkpoint, and requeues
itself. The requeued job continues the folder, so the charge and the sequences are those of a run without a break. A
signal of Slurm's own, at scancel or a preemption, pauses the run too, and is followed by no requeue of the script's.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from bertd.clusters.time_limit import PAUSE_S, START_S
from bertd.clusters.train_command import ClusterRun, quote_words
from bertd.errors import RecipeError
from bertd.run.amounts.durations import format_duration
from bertd.run.budget import Budget
from bertd.run.recipe.schema import DevicesSection

PAUSED_STATUS = 13
"""Exit status of `bertd train` for a run that has paused; see bertd.cli.exit_codes."""
_CPUS_PER_GPU = 2
"""A rank and the thread that prepares its batches."""
_BODY = """\
set -u
is_limit_near=
{start} &
train=$!
# Before the limit: pause, and continue in a requeued job. At scancel or a preemption: pause.
trap 'is_limit_near=1; kill -TERM "$train"' USR1
trap 'kill -TERM "$train"' TERM
while :; do
    wait "$train"
    status=$?
    # A signal ends `wait`, not the run.
    kill -0 "$train" 2>/dev/null || break
done
if [ "$status" = {paused} ] && [ -n "$is_limit_near" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


@dataclass(frozen=True)
class SlurmOptions:
    """What a script needs besides the run."""

    limit_s: float
    """Wall-clock limit of the job."""
    program: str = "bertd"
    """Path of `bertd` on the machines of the cluster."""
    directives: Sequence[str] = ()
    """More options of sbatch, such as --partition=gpu."""
    at_once: int | None = None
    """Of an array: tasks that run at the same time."""


def slurm_script(run: ClusterRun, options: SlurmOptions, *, budget: Budget, charged_s: float) -> str:
    """The script of one run.

    Args:
        run: to train.
        options: of the cluster.
        budget: granted so far.
        charged_s: of the budget, so far.
    """
    return _script(
        _directives(run.recipe.run.name, run, options),
        _limit_comment(options.limit_s, budget, charged_s=charged_s),
        start=quote_words(run.command(options.program)),
        before=_join_others(run.recipe.devices, options),
    )


def _join_others(devices: DevicesSection, options: SlurmOptions) -> str:
    """Shell commands that have the further machines join this one, on which the script runs."""
    if devices.nodes == 1:
        return ""
    number = devices.nodes - 1
    join = f'{shlex.quote(options.program)} join "$first" --port {devices.port}'
    return (
        'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)\n'
        f'srun --nodes={number} --ntasks={number} --ntasks-per-node=1 --exclude="$first" {join} &\n'
    )


def slurm_array_script(name: str, runs: Sequence[ClusterRun], options: SlurmOptions) -> str:
    """The script of a sweep: a task of an array for each setting, each with a folder of its own.

    Raises:
        RecipeError: the settings do not need the same devices, or several machines each.
    """
    first = runs[0]
    for run in runs:
        if run.recipe.devices != first.recipe.devices:
            raise RecipeError(
                f"{name}: [devices] is an axis of the sweep, and the tasks of an array have the same devices; make a "
                "sweep for each"
            )
    choices = []
    for number, run in enumerate(runs, start=1):
        overrides = " ".join(shlex.quote(word) for override in run.overrides for word in ("--set", override))
        choices.append(f"{number}) run_folder={shlex.quote(str(run.folder))}; settings=({overrides}) ;;")
    if first.recipe.devices.nodes > 1:
        raise RecipeError(
            f"{name}: [devices] nodes: the tasks of an array have one machine each; submit the runs one by one"
        )
    choose = "\n".join(['case "$SLURM_ARRAY_TASK_ID" in', *choices, "esac"])
    command = [options.program, "train", first.recipe_file]
    start = f'{shlex.join(command)} --folder "$run_folder" "${{settings[@]}}"'
    at_once = "" if options.at_once is None else f"%{options.at_once}"
    directives = [*_directives(name, first, options), f"--array=1-{len(runs)}{at_once}"]
    comment = _limit_comment(options.limit_s, max((run.recipe.granted for run in runs), key=_length_s), charged_s=0.0)
    return _script(directives, comment, start=start, before=choose + "\n")


def _length_s(budget: Budget) -> float:
    return budget.total_s or 0.0


def _directives(name: str, run: ClusterRun, options: SlurmOptions) -> list[str]:
    devices = run.recipe.devices
    wanted = (
        [f"--gpus-per-node={devices.count}", f"--cpus-per-task={_CPUS_PER_GPU * devices.count}"]
        if devices.kind == "gpu"
        else [f"--cpus-per-task={devices.count}"]
    )
    return [
        f"--job-name={name}",
        f"--time={format_slurm_time(options.limit_s)}",
        f"--signal=B:USR1@{PAUSE_S:.0f}",
        "--requeue",
        "--open-mode=append",
        f"--output={run.folder.parent}/{name}-%j.log",
        f"--nodes={devices.nodes}",
        "--ntasks-per-node=1",
        *wanted,
        *options.directives,
    ]


def _script(directives: Sequence[str], comment: str, *, start: str, before: str = "") -> str:
    head = "\n".join(["#!/bin/bash", *(f"#SBATCH {directive}" for directive in directives)])
    return f"{head}\n{comment}\n{before}{_BODY.format(start=start, paused=PAUSED_STATUS)}"


def _limit_comment(limit_s: float, budget: Budget, *, charged_s: float) -> str:
    if budget.total_s is None:
        amount = f"{budget.amount:g} {budget.unit}"
        return f"# {amount} in jobs of {format_duration(limit_s)}: each continues the one before it."
    left_s = max(0.0, budget.total_s - charged_s)
    needed_s = left_s + START_S + PAUSE_S
    text = (
        f"# {format_duration(needed_s)} = {format_duration(left_s)} left of the budget + {format_duration(START_S)} "
        f"for the start, which is not charged, + {format_duration(PAUSE_S)} to save."
    )
    if limit_s < needed_s:
        text += f"\n# The limit is {format_duration(limit_s)}: each job continues the one before it."
    return text


def format_slurm_time(seconds: float) -> str:
    """Days-hours:minutes:seconds, rounded up to a minute, as Slurm's limits are."""
    minutes = math.ceil(seconds / 60)
    days, minutes = divmod(minutes, 24 * 60)
    return f"{days}-{minutes // 60:02d}:{minutes % 60:02d}:00"
