"""Prepare a data set as an array of Slurm jobs: each makes its share of the parts, and a last one merges them.

The staging folder is on a file system that all machines share, and every part is the same as on one machine. Each task
reads all sources, which costs what decompressing them costs, and tokenizes only its own parts, so tasks with several
processors each are better than many with one.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass

from bertd.errors import SubmissionError

_PROGRAM = (sys.executable, "-m", "bertd.data.commands.prepare")


@dataclass(frozen=True)
class SlurmPlan:
    """What is asked of Slurm."""

    name: str
    """Of the data set."""
    arguments: tuple[str, ...]
    """Of `bertd data prepare`, with absolute paths and without those about where it runs."""
    num_tasks: int
    processes: int
    """Of each task."""
    options: tuple[str, ...]
    """More options of sbatch, such as `--partition=cpu`."""


def slurm_script(plan: SlurmPlan) -> str:
    """A script for a shell that submits both jobs."""
    command = shlex.join([*_PROGRAM, *plan.arguments, f"--processes={plan.processes}"])
    job_name = f"prepare-{plan.name}"
    common = [f"--cpus-per-task={plan.processes}", *plan.options]
    array = [
        *("sbatch", "--parsable", f"--job-name={job_name}", f"--array=0-{plan.num_tasks - 1}", *common),
        *("--wrap", f"exec {command} --array-task=$SLURM_ARRAY_TASK_ID/{plan.num_tasks}"),
    ]
    merge = ["sbatch", "--parsable", f"--job-name={job_name}-merge", *common]
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Makes the data set {plan.name}: {plan.num_tasks} tasks make its parts, then one job merges them.",
            "# The same script again continues: parts that are finished are kept.",
            "set -eu",
            f"array=$({shlex.join(array)})",
            # A cluster's name may stand after the number.
            f'{shlex.join(merge)} --dependency="afterok:${{array%%;*}}" --wrap {shlex.quote(f"exec {command}")}',
            "",
        ]
    )


def submit_script(script: str) -> str:
    """Run the script; returns what it printed, the number of the merging job.

    Raises:
        SubmissionError: there is no Slurm here, or it refused.
    """
    try:
        done = subprocess.run(["sh"], input=script, text=True, capture_output=True, check=False)
    except OSError as error:
        raise SubmissionError(f"--submit: cannot start a shell: {error.strerror}") from error
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise SubmissionError(
            f"--submit: Slurm refused: {reason[0]}; print the script without --submit, and submit it where sbatch is"
        )
    return done.stdout.strip()
