"""Wrong values of options are refused in plain words, and every subcommand knows -h."""

from __future__ import annotations

import pytest

from bertd.cli.app import app
from bertd.cli.forwarding import ForwardingCommand
from tests.cli.conftest import Bertd


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["submit", "demo", "--priority", "1.5"], "'1.5': give a whole number"),
        (["submit", "demo", "--priority", "9999999"], "'9999999': give a number at most"),
        (["finetune", "7", "--task", "cola", "--data", ".", "--lr", "fast"], "'fast': give a number"),
        (["finetune", "7", "--task", "cola", "--data", ".", "--seed", "-1"], "'-1': give a number at least 0"),
        (["logs", "7", "-n", "-1"], "'-1': give a number at least 0"),
        (["resume", "7", "--devices", "0"], "'0': give a number at least 1"),
        (["budget", "7", "--steps", "1.5"], "'1.5': give a whole number"),
        (["start", "--finetunings-per-gpu", "two"], "'two': give a whole number"),
    ],
)
def test_a_wrong_value_of_an_option_is_refused_with_the_value_and_the_remedy(
    words: list[str], expected: str, bertd: Bertd
) -> None:
    said = bertd(*words)
    assert said.code == 2
    assert expected in said.err and "Input should" not in said.err


_OWN_COMMANDS = [command for command in app.registered_commands if command.cls is not ForwardingCommand]
"""Not those that are another program, which argparse gives -h."""


@pytest.mark.parametrize("verb", [command.name for command in _OWN_COMMANDS if command.name])
def test_every_subcommand_of_this_program_knows_h(verb: str, bertd: Bertd) -> None:
    said = bertd(verb, "-h")
    assert said.code == 0
    assert f"Usage: bertd {verb}" in said.out
