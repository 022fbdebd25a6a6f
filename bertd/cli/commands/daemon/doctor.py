"""`bertd doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.options import JsonOption, SocketOption, print_json


def doctor(
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="FOLDER",
            help="The daemon's state folder. By default that of `bertd start`.",
            show_default=False,
        ),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Check this machine for what makes jobs fail, or slow without a word; worst first, each with a remedy.

    It takes about half a minute, most of it for torch. The exit status is 1 if there is a fault.
    """
    from bertd.cli.output.findings_text import findings_text
    from bertd.cli.output.tables import detect_output_style
    from bertd.doctor.examine import examine
    from bertd.records import Severity
    from bertd.run.paths import client_socket

    def show_progress(name: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[Kchecking: {name}", end="", file=sys.stderr, flush=True)

    findings = examine(
        state_dir=None if state_dir is None else state_dir.absolute(),
        socket=socket or client_socket(),
        on_begin=show_progress,
    )
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if json:
        print_json([*findings])
    else:
        print(findings_text(findings, style=detect_output_style()))
    if any(finding.severity is Severity.FAULT for finding in findings):
        sys.exit(1)
