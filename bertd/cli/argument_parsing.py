"""How arguments are parsed where Typer's own way does not serve a person: its texts, and numbers below 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Context


class PlainWordsGroup(TyperGroup):
    """Subcommands that refuse a value with the value and the remedy, where Typer has pydantic's text."""

    def invoke(self, ctx: Context) -> Any:  # noqa: D102 - as the base class
        try:
            return super().invoke(ctx)
        except BadParameter as error:
            _reword(error)
            raise


class CommandWithNegativeNumbers(TyperCommand):
    """A subcommand to which `-1` and `-2h` are arguments. It refuses what else looks like an option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # -h is not among the names of the help option: `-2h` would be read as the options -2 and -h.
        settings = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
        super().__init__(*args, **kwargs | {"context_settings": settings})

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # noqa: D102 - as the base class
        return super().parse_args(ctx, ["--help" if word == "-h" else word for word in args])


class CommandWithBareNow(TyperCommand):
    """A subcommand with the option `--now`, which may have a value (`--now=hot`), and need not: it then is cold."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # noqa: D102 - as the base class
        return super().parse_args(ctx, ["--now=cold" if word == "--now" else word for word in args])


def _reword(error: BadParameter) -> None:
    from pydantic import ValidationError

    from bertd.validation_text import describe_problem

    if isinstance(error.__cause__, ValidationError):
        problem = error.__cause__.errors()[0]
        if problem["type"] not in ("value_error", "assertion_error"):
            error.message = f"{problem['input']!r}: {describe_problem(problem)}"
