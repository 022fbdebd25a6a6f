"""Subcommands that change a job: pause, resume, checkpoint, stop, hold, release, priority, move; and shutdown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_job
from bertd.cli.options import (
    HIGHEST_PRIORITY,
    JobArgument,
    JobsArgument,
    JsonOption,
    SocketOption,
    connect,
    parse_time,
    print_json,
    split_jobs,
    status_line,
)

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import JobView


def pause(
    ids: JobsArgument = None,
    hot: Annotated[
        bool, typer.Option("--hot", help="Suspend between two steps and keep all memory; resumes in under a second.")
    ] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Save a checkpoint, stop the processes and free the devices; no step is lost, nothing more is charged."""
    from bertd.cli.several_jobs import act_on_each

    client = connect(socket)
    act_on_each(client, ids or [], lambda id: client.pause(id, hot=hot), json=json)


def resume(
    ids: JobsArgument = None,
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices",
            min=1,
            max=65_536,
            help="Continue on this many devices, more or fewer than before.",
            show_default=False,
        ),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Put a paused run back into the queue; it continues with the next sequence and the time charged so far.

    On another number of devices a step has the same sequences, and its sums are equal within rounding.
    """
    from bertd.cli.several_jobs import act_on_each

    client = connect(socket)
    act_on_each(client, ids or [], lambda id: client.resume(id, devices=devices), json=json)


def checkpoint(
    ids: JobsArgument = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is saved.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Wait no longer than 30s, 10min, ...")
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Save a checkpoint at the next step and continue training."""
    from bertd.cli.several_jobs import act_on_each

    timeout_s = None if timeout is None else parse_time(timeout, option="--timeout")
    client = connect(socket)
    if wait or timeout_s is not None:

        def save(id: str) -> JobView:
            return _save_and_wait(client, id, timeout_s=timeout_s)

        act_on_each(client, ids or [], save, json=json, describe=_saved_line)
    else:
        act_on_each(client, ids or [], client.checkpoint, json=json, describe=_saving_line)


def _save_and_wait(client: Client, id: str, *, timeout_s: float | None) -> JobView:
    """Save a checkpoint, and return when it is complete.

    Raises:
        TransitionError: the ranks refused, such as on a full disk, or left before they could answer.
        Exit: it took too long.
    """
    from bertd.cli import exit_codes
    from bertd.cli.output.command_answers import request_and_wait
    from bertd.errors import TransitionError
    from bertd.program import print_error
    from bertd.records import CommandKind

    answered = request_and_wait(
        client, lambda: client.checkpoint(id), verb=CommandKind.CHECKPOINT, timeout_s=timeout_s, is_done=lambda _: False
    )
    job = client.job(answered.view.id)
    if answered.record is None and job.ended_t is None:
        print_error(f"job {job.id}: no checkpoint was confirmed in time; `bertd show {job.id}` has the newest")
        raise typer.Exit(exit_codes.TIMED_OUT)
    if answered.record is None:
        raise TransitionError(f"job {job.id}: is {job.state}, and left the request unanswered: {job.reason}")
    if answered.record.outcome == "refused":
        raise TransitionError(f"job {job.id}: no checkpoint: {answered.record.detail}")
    return job


def _saved_line(job: JobView) -> str:
    return f"{status_line(job)}; the checkpoint is saved"


def _saving_line(job: JobView) -> str:
    return f"{status_line(job)}; it saves a checkpoint at its next step"


def stop(
    ids: JobsArgument = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without an ID, do not ask.")] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """End a job for good: a run validates, saves and exports first; a finetuning is cancelled.

    Without an ID it shows what it would stop, and asks; where nobody can be asked, it needs an ID or --yes.
    """
    from bertd.cli.several_jobs import act_on_each

    client = connect(socket)
    act_on_each(client, ids or _confirm_stop(client, is_sure=yes), client.stop, json=json)


def _confirm_stop(client: Client, *, is_sure: bool) -> list[str]:
    """The job to stop where none is named, after a question.

    Raises:
        BadParameter: nobody can be asked.
        Exit: the answer was no.
    """
    if is_sure:
        return ["@"]
    if not _can_ask():
        raise typer.BadParameter("name the jobs to stop, or give --yes for @: what runs, else the newest")
    job = client.job("@")
    if not typer.confirm(f"{status_line(job)}\nStop it for good?"):
        raise typer.Exit(0)
    # Not @ again: another job may run by now.
    return [str(job.id)]


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def hold(ids: JobsArgument = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Keep a queued job from starting."""
    from bertd.cli.several_jobs import act_on_each

    client = connect(socket)
    act_on_each(client, ids or [], client.hold, json=json)


def release(ids: JobsArgument = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Let a held job start."""
    from bertd.cli.several_jobs import act_on_each

    client = connect(socket)
    act_on_each(client, ids or [], client.release, json=json)


def priority(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="ID N",
            help=f"Jobs, then the number, from -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}: higher goes first, and jobs "
            "begin with 0.",
            autocompletion=complete_job,
        ),
    ],
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Move a job in the queue."""
    from bertd.cli.several_jobs import act_on_each

    ids, number = _split_priority(words)
    client = connect(socket)
    act_on_each(client, ids, lambda id: client.priority(id, number), json=json, describe=_priority_line)


def _split_priority(words: list[str]) -> tuple[list[str], int]:
    """The jobs and the number.

    Raises:
        BadParameter: no job, an unknown option, or not a whole number in the range.
    """
    *ids, text = words
    if unknown := next((word for word in words if word.startswith("-") and not word[1:].isdecimal()), None):
        raise typer.BadParameter(f"no such option: {unknown}")
    if not ids:
        raise typer.BadParameter(f"{text!r}: give the job, then the number, such as `bertd priority 7 5`")
    try:
        number = int(text)
    except ValueError:
        number = HIGHEST_PRIORITY + 1
    if abs(number) > HIGHEST_PRIORITY:
        wanted = f"a whole number from -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}"
        raise typer.BadParameter(f"{text!r} is not a priority; give {wanted} after the job", param_hint="N")
    return ids, number


def _priority_line(job: JobView) -> str:
    return f"{status_line(job)}; its priority is {job.priority}"


def move(
    job: JobArgument,
    before: Annotated[
        str | None,
        typer.Option(
            "--before", metavar="JOB", help="Place it before this job.", autocompletion=complete_job, show_default=False
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after", metavar="JOB", help="Place it after this job.", autocompletion=complete_job, show_default=False
        ),
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Place it before all others.")] = False,
    last: Annotated[bool, typer.Option("--last", help="Place it after all others.")] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Move a waiting job in the queue; it gets the priority that it needs there.

    Raises:
        BadParameter: not exactly one place is given.
    """
    if sum([before is not None, after is not None, first, last]) != 1:
        raise typer.BadParameter("give one of --before JOB, --after JOB, --first and --last")
    client = connect(socket)
    if before is not None or after is not None:
        view = client.move(job, to="after" if before is None else "before", job=before or after)
    else:
        view = client.move(job, to="first" if first else "last")
    if json:
        print_json(view)
        return
    position = "" if view.position is None else f"; it is number {view.position} in the queue"
    print(f"{_priority_line(view)}{position}")


def change(
    ids: JobsArgument = None,
    after: Annotated[
        list[str] | None,
        typer.Option("--after", metavar="JOB,...", help="As in submit; none: for no job.", show_default=False),
    ] = None,
    after_any: Annotated[
        list[str] | None,
        typer.Option("--after-any", metavar="JOB,...", help="As in submit; none: for no job.", show_default=False),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--begin", metavar="TIME", help="As in submit; none: at once.", show_default=False),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="HOURS", help="As in submit; none: the whole day.", show_default=False),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="As in submit; none: no group.", show_default=False),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Change what a job waits for, when it may start and run, or its group.

    A job that runs outside of its new hours is paused.

    Raises:
        BadParameter: nothing is to be changed.
    """
    from bertd.cli.several_jobs import act_on_each

    if after is None and after_any is None and begin is None and only is None and group is None:
        raise typer.BadParameter("give what to change: --after, --after-any, --begin, --only or --group")
    client = connect(socket)
    new_after, new_after_any = _changed_jobs(after), _changed_jobs(after_any)
    act_on_each(
        client,
        ids or [],
        lambda id: client.change(id, after=new_after, after_any=new_after_any, begin=begin, only=only, group=group),
        json=json,
    )


def _changed_jobs(texts: list[str] | None) -> list[str] | None:
    """The jobs of an option; None where it was not given."""
    if texts is None:
        return None
    names = split_jobs(texts)
    return [] if names == ["none"] else names


def shutdown(socket: SocketOption = None, json: JsonOption = False) -> None:
    """End the daemon, which first pauses running jobs with a checkpoint (see `bertd start --help`)."""
    client = connect(socket)
    version = client.version()
    client.shutdown()
    if json:
        print_json(version)
        return
    print(f"the daemon (pid {version.pid}) is shutting down; what it pauses continues at the next `bertd start`")
