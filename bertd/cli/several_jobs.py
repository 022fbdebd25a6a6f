"""Act on each of the jobs that a subcommand names, and say of each what became of it."""

from __future__ import annotations

from collections.abc import Callable

import typer

from bertd.api.client import Client
from bertd.api.models import JobView
from bertd.cli.options import print_json, status_line
from bertd.errors import BertdError, DaemonUnreachableError
from bertd.program import print_error


def act_on_each(
    client: Client,
    ids: list[str],
    act: Callable[[str], JobView],
    *,
    json: bool,
    describe: Callable[[JobView], str] = status_line,
) -> None:
    """Act on the jobs and print a line for each, or its JSON.

    Several are looked up before anything is done, so that a mistyped ID changes nothing, and a job that is named twice
    is acted on once: a second stop means more than the first. A refusal does not keep the others from being done.

    Args:
        ids: as typed; none for @.
        act: makes the change.
        describe: the line of a job.

    Raises:
        BertdError: a job does not exist, or the only one was refused.
        DaemonUnreachableError: the daemon is gone; the rest is not tried.
        Exit: one of several was refused; with its exit status.
    """
    if len(ids) > 1:
        ids = list(dict.fromkeys(str(client.job(id).id) for id in ids))
    exit_code = 0
    for id in ids or ["@"]:
        try:
            job = act(id)
        except DaemonUnreachableError:
            raise
        except BertdError as error:
            if len(ids) < 2:
                raise
            print_error(str(error))
            exit_code = exit_code or error.exit_code
            continue
        if json:
            print_json(job)
        else:
            print(describe(job))
    if exit_code:
        raise typer.Exit(exit_code)
