"""`bertd audit`: who asked to change what."""

from __future__ import annotations

from typing import Annotated

import typer

from bertd.cli.completion import complete_past_time
from bertd.cli.options import JsonOption, SocketOption, connect, parse_past_time, print_json


def audit(
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="NAME|UID", help="Only of this user; who may not change anything sees only its own."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only from then on: 24h (ago), 22:00, 2026-12-01T08:00.",
            autocompletion=complete_past_time,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, metavar="N", help="The newest N.")] = 100,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """List the requests to change something, newest first: when, by whom, and whether it was done."""
    client = connect(socket)
    since_t = None if since is None else parse_past_time(since, option="--since")
    rows = client.audit(user=user, since=since_t, limit=limit)
    if json:
        print_json([*rows])
        return
    from bertd.cli.output.audit_table import audit_table
    from bertd.cli.output.tables import detect_output_style

    print(audit_table(rows, style=detect_output_style()))
