"""Subcommands that only read: status, jobs, show, scores, wait."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli import exit_codes
from bertd.cli.completion import complete_run
from bertd.cli.options import (
    JobArgument,
    JsonOption,
    SocketOption,
    connect,
    parse_time,
    print_json,
    status_line,
)

if TYPE_CHECKING:
    pass


def status(socket: SocketOption = None, json: JsonOption = False) -> None:
    """Show the runs with what is left of their budgets, the queue, the devices and the last events."""
    answer = connect(socket).status()
    if json:
        print_json(answer)
        return
    from bertd.cli.tables import detect_output_style
    from bertd.cli.views import status_text

    print(status_text(answer, now=time.time(), style=detect_output_style()))


def jobs(socket: SocketOption = None, json: JsonOption = False) -> None:
    """List all jobs, queued and past, each with its state and the reason for it."""
    answer = connect(socket).jobs()
    if json:
        print_json([*answer])
        return
    from bertd.cli.tables import detect_output_style
    from bertd.cli.views import jobs_text

    print(jobs_text(answer, now=time.time(), style=detect_output_style()) if answer else "No job yet.")


def show(id: JobArgument = "@", socket: SocketOption = None, json: JsonOption = False) -> None:
    """Show one job: its state and why, its run's budget, loss, speed and checkpoints, its scores."""
    from bertd.cli.views import JobDetails, job_text
    from bertd.records import JobKind

    client = connect(socket)
    job = client.job(id)
    run = client.run(job.run_id) if job.kind is JobKind.PRETRAIN else None
    scores = [score for score in client.scores() if job.id == score.job_id or (run and score.run_id == run.id)]
    details = JobDetails(job=job, run=run, scores=scores)
    if json:
        print_json(details)
        return
    from bertd.cli.tables import detect_output_style

    print(job_text(details, now=time.time(), style=detect_output_style()))


def scores(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Run id, job number or @; all runs without it.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """List finetuning scores, each next to the score of always guessing the most common label."""
    answer = connect(socket).scores(run)
    if json:
        print_json([*answer])
        return
    from bertd.cli.tables import detect_output_style
    from bertd.cli.views import scores_text

    nothing = "No score yet; get one with `bertd finetune RUN --task cola --data FOLDER`."
    print(scores_text(answer, style=detect_output_style()) if answer else nothing)


def wait(
    id: JobArgument = "@",
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Give up after 30s, 10min, 24h, ...", show_default=False),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Wait until a job is over; paused and held ones are not. The exit status says how it ended."""
    from bertd.cli.wait import EXIT_CODE_BY_STATE, wait_until_over

    deadline = None if timeout is None else time.monotonic() + parse_time(timeout, option="--timeout")
    client = connect(socket)
    job = wait_until_over(client, client.job(id), deadline=deadline)
    if json:
        print_json(job)
    else:
        print(status_line(job))
    sys.exit(EXIT_CODE_BY_STATE.get(job.state, exit_codes.TIMED_OUT))
