"""The command lines in the documentation's code, and whether the programs would accept them."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from typer._click.exceptions import UsageError

from bertd.cli.app import build_app
from bertd.cli.forwarding import PROGRAMS, ForwardingCommand, read_options
from tui.app import _build_parser

ROOT = Path(__file__).parents[2]
GENERATED = {"commands.md", "recipe.md"}
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name not in GENERATED),
]
_ENDS = {"|", "&", "&&", ";", ">", ">>", "||", "2>&1"}
_COMMAND = re.compile(r"^(?:\$ |sudo (?:-u \S+ )?|\w+=\S+ )*(?:\S*/)?(bertd|bert-tui)(?: |$)")


@cache
def _bertd() -> Any:
    return typer.main.get_command(build_app())


@cache
def _options_of(module: str) -> set[str]:
    return set(read_options(module))


@dataclass(frozen=True)
class CommandLine:
    """A line that begins with one of the programs."""

    document: str
    line: int
    words: list[str]
    """The program's name first."""
    is_whole: bool
    """In a block of code, where it is meant to be typed; otherwise in a sentence, where it may lack arguments."""


def command_lines() -> Iterator[CommandLine]:
    """All of them."""
    for path in DOCUMENTS:
        yield from lines_of(path.read_text(encoding="utf-8"), name=str(path.relative_to(ROOT)))


def lines_of(text: str, *, name: str) -> Iterator[CommandLine]:
    """Those of one document: in indented and fenced blocks, and in code within a sentence."""
    fence = ""
    pending, begun = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if (opened := re.match(r"\s*```(\w*)", line)) is not None:
            fence = "" if fence else opened[1] or "text"
            continue
        if fence == "sh" or fence == "bash" or (not fence and line.startswith("    ")):
            begun = begun if pending else number
            pending += line.strip().removesuffix("\\")
            if line.rstrip().endswith("\\"):
                continue
            if (words := _words(pending)) is not None:
                yield CommandLine(name, begun, words, is_whole=True)
            pending = ""
        elif not fence:
            for code in re.findall(r"`((?:bertd|bert-tui) [^`]+)`", line):
                if (words := _words(code)) is not None:
                    yield CommandLine(name, number, words, is_whole=False)


def _words(line: str) -> list[str] | None:
    """The words of the program's own command line; None for another program's."""
    found = _COMMAND.match(line)
    if found is None:
        return None
    rest = line[found.start(1) :]
    try:
        words = shlex.split(rest, comments=True)
    except ValueError:
        # An apostrophe in a sentence after the command.
        words = rest.split()
    end = next((place for place, word in enumerate(words) if word in _ENDS), len(words))
    return words[:end]


def what_is_wrong(line: CommandLine) -> str:
    """Why the program would refuse the words; empty if it would not."""
    program, *words = line.words
    if program == "bert-tui":
        return _refusal_of_parser(_build_parser(), words)
    if words[:1] == ["--host"]:
        # The same command, over SSH.
        words = words[2:]
    command = _bertd()
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        return "" if words[0].isupper() or not words[0].isalpha() else f"no subcommand {words[0]}"
    if isinstance(command, ForwardingCommand):
        return _unknown_options(words, known=_options_of(PROGRAMS[command.name or ""]))
    if not line.is_whole or any("..." in word for word in words):
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        return _unknown_options(words, known=known | {"--help", "-h", "--version", "--install-completion"})
    try:
        command.make_context(program, words)
    except UsageError as error:
        # The files of an example are not here.
        return "" if error.format_message().endswith("does not exist.") else error.format_message()
    except (typer.Exit, SystemExit):
        pass
    return ""


def _unknown_options(words: list[str], *, known: set[str]) -> str:
    own = words[: words.index("--")] if "--" in words else words
    options = (word.partition("=")[0] for word in own if re.match(r"--?[a-z]", word))
    return ", ".join(f"no option {each}" for each in options if each not in known)


def _refusal_of_parser(parser: argparse.ArgumentParser, words: list[str]) -> str:
    known = {name for action in parser._actions for name in action.option_strings}
    return _unknown_options(words, known=known)
