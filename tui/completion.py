"""Shell completion of `bert-tui`, in the way of `bertd`: Typer installs it and speaks to the shell.

The dashboard's own options are argparse's: Typer's import would delay its first frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer._click.core import Context
    from typer._click.shell_completion import CompletionItem

PROGRAM = "bert-tui"
_REQUEST_VARIABLE = "_BERT_TUI_COMPLETE"
"""Set by the script that is installed in the shell; Typer forms its name from the program's."""
_INSTALL_OPTIONS = ("--install-completion", "--show-completion")


def add_install_options(parser: argparse.ArgumentParser) -> None:
    """Name the options that `run_completion` executes, for --help."""
    parser.add_argument("--install-completion", action="store_true", help="install completion for your shell")
    parser.add_argument("--show-completion", action="store_true", help="print the script that it installs")


def is_requested(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the shell asks for completion, or a person for its installation."""
    return _REQUEST_VARIABLE in environment or any(option in arguments for option in _INSTALL_OPTIONS)


def run_completion(parser: argparse.ArgumentParser) -> int:
    """Print what the shell asks for, or install the script; Typer then ends the process."""
    import typer
    from typer.core import TyperCommand

    names = {
        name: action.help or "" for action in parser._actions for name in action.option_strings if name.startswith("--")
    }

    class OptionsCommand(TyperCommand):
        """A command with the options of `parser`."""

        def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
            from typer._click.shell_completion import CompletionItem

            if not incomplete.startswith("-"):
                return [CompletionItem(incomplete, type="file")]
            return [CompletionItem(name, help=help) for name, help in names.items() if name.startswith(incomplete)]

    app = typer.Typer()
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}

    @app.command(cls=OptionsCommand, context_settings=settings)
    def watch() -> None:
        """Typer calls it for no request of a shell."""

    app(prog_name=PROGRAM)
    return 0
