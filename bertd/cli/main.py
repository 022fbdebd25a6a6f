"""The entry point of the `bertd` command: the commonest reading subcommands at once, all others through Typer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from bertd.program import run_main


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    sys.exit(run_main(_run))


def _run() -> int | None:
    arguments = sys.argv[1:]
    if arguments and arguments[0].partition("=")[0] == "--host":
        from bertd.cli.remote_host import run_remote

        return run_remote(arguments, run=_run_arguments)
    return _run_arguments(arguments)


def _run_arguments(arguments: Sequence[str]) -> int | None:
    from bertd.cli.plain_reading import print_answer, recognize

    call = recognize(arguments)
    if call is not None and print_answer(call):
        return None
    from bertd.cli.app import run_app

    return run_app(arguments)
