"""Subcommands that only read: status, jobs, show, logs, scores, wait."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli import exit_codes
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
    from bertd.api.client import Client

_POLL_S = 0.5
"""Seconds between two reads of `logs -f`."""
_PIECE_BYTES = 256 * 1024


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
        typer.Argument(metavar="[RUN]", help="Run id, job number or @; all runs without it.", show_default=False),
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


def logs(
    id: JobArgument = "@",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job is over.")] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Print a job's log; control characters in it are shown as escapes."""
    client = connect(socket)
    job = client.job(id)
    offset = _print_log(client, job.id, offset=0, json=json)
    while follow:
        from bertd.cli.wait import is_over

        # Request the state before the log: what is written until the state is final is then always read.
        was_over = is_over(client.job(job.id))
        offset = _print_log(client, job.id, offset=offset, json=json)
        if was_over:
            return
        time.sleep(_POLL_S)


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


def _print_log(client: Client, job_id: int, *, offset: int, json: bool) -> int:
    """Print from `offset` to the current end; return the offset of the end."""
    from bertd.terminal_text import terminal_json, terminal_text

    while True:
        piece = client.log(job_id, offset=offset, limit=_PIECE_BYTES)
        if piece.text:
            sys.stdout.write(terminal_json(piece.model_dump_json()) + "\n" if json else terminal_text(piece.text))
            sys.stdout.flush()
        if piece.next_offset <= offset or piece.next_offset >= piece.size:
            return piece.next_offset
        offset = piece.next_offset
