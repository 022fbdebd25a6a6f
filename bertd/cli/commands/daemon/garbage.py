"""`bertd gc`: what ended jobs leave on the disk and nothing needs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bertd.cli.completion import complete_job
from bertd.cli.options import JsonOption, SocketOption, connect, parse_time, print_json


def gc(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help="Only of these jobs; by default of all that have ended.",
            autocompletion=complete_job,
            show_default=False,
        ),
    ] = None,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="TIME", help="Only of jobs that ended so long ago, such as 7d or 12h."),
    ] = "0s",
    all_checkpoints: Annotated[
        bool,
        typer.Option(
            "--all-checkpoints",
            help="Of runs that are done and have an export, the newest checkpoint, too.",
        ),
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; without this it is only listed.")] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """List what ended jobs leave on the disk and nothing needs, and what that would free; --delete deletes it.

    Journals, logs, exports, scores, kept models, the newest checkpoint of each run and those of markers without an
    export stay.
    """
    client = connect(socket)
    from bertd.api.models import GarbageRequest
    from bertd.cli.output.garbage_table import garbage_table
    from bertd.cli.output.tables import detect_output_style

    request = GarbageRequest(
        jobs=ids or [], older_than_s=parse_time(older_than, option="--older-than"), all_checkpoints=all_checkpoints
    )
    found = client.delete_garbage(request) if delete else client.garbage(request)
    if json:
        print_json([*found])
        return
    print(garbage_table(found, is_deleted=delete, style=detect_output_style()))
    if found and not delete:
        print("nothing was deleted; the same with --delete deletes it", file=sys.stderr)
