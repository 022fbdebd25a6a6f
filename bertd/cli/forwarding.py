"""Subcommands that pass all their arguments to a program of the compute side, and still complete its options.

This process never imports that side, so the options are read from the source of the program: those of its
`add_argument` calls.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer._click.core import Context
    from typer._click.shell_completion import CompletionItem

FORWARD_ALL_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Every argument, --help too, belongs to the program that is started."""

PROGRAMS = {
    "prepare": "bertd.data.commands.prepare",
    "vocab": "bertd.data.commands.vocab",
    "inspect": "bertd.data.commands.inspect",
    "verify": "bertd.data.commands.verify",
    "fetch": "bertd.data.commands.fetch",
    "predict": "bertd.glue.predict",
    "bench": "bertd.bench.__main__",
    "prove": "bertd.prove.__main__",
}
"""The module of each subcommand."""


class ForwardingCommand(TyperCommand):
    """A subcommand that is another program."""

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """The program's options; the shell itself completes paths."""
        from typer._click.shell_completion import CompletionItem

        if not incomplete.startswith("-") or self.name is None:
            return [CompletionItem(incomplete, type="file")]
        options = read_options(PROGRAMS[self.name])
        return [CompletionItem(name, help=help) for name, help in options.items() if name.startswith(incomplete)]


def read_options(module: str) -> dict[str, str]:
    """Options of a program, each with its help text, without importing it."""
    import ast

    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    options = {"--help": "show this message and exit"}
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            helps = [keyword.value for keyword in node.keywords if keyword.arg == "help"]
            text = str(helps[0].value) if helps and isinstance(helps[0], ast.Constant) else ""
            options |= {str(name): text for name in names if str(name).startswith("-")}
    return options
