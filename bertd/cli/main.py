"""The entry point of the `bertd` command: the commonest reading subcommands at once, all others through Typer."""

from __future__ import annotations

import sys
from typing import NoReturn

from bertd.program import run_main


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    sys.exit(run_main(_run))


def _run() -> int | None:
    from bertd.cli.plain_reading import print_answer, recognize

    call = recognize(sys.argv[1:])
    if call is not None and print_answer(call):
        return None
    from bertd.cli.app import run_app

    return run_app(sys.argv[1:])
