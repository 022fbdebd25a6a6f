"""A value that the command line refuses is reported with what is expected."""

from __future__ import annotations

import pytest

from bertd.data.commands import inspect, prepare
from bertd.data.commands.arguments import (
    parse_count,
    parse_positive,
    parse_rate,
    parse_sequence_length,
    parse_share,
)

_PREPARE = ["text:here", "--vocab", "v", "--out", "set"]


def test_values_in_range_are_accepted() -> None:
    assert [parse_share("0"), parse_share("0.25"), parse_positive("1"), parse_count("0")] == [0.0, 0.25, 1, 0]
    assert [parse_rate("250.5"), parse_sequence_length("32")] == [250.5, 32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*_PREPARE, "--validation", "1"], "--validation: '1' is not a share; give a number from 0 to less than 1"),
        ([*_PREPARE, "--min-ascii", "nan"], "--min-ascii: 'nan' is not a share; give a number"),
        ([*_PREPARE, "--near-threshold", "most"], "--near-threshold: 'most' is not a share; give a number"),
        (
            [*_PREPARE, "--max-documents", "0"],
            "--max-documents: '0' is too little or not a number; give a whole",
        ),
        (
            [*_PREPARE, "--processes", "two"],
            "--processes/--workers: 'two' is too little or not a number; give a whole number",
        ),
    ],
)
def test_a_wrong_value_of_prepare_says_what_is_expected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main(arguments) == 2
    assert f"error: argument {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sequences-per-s", "inf"], "--sequences-per-s: 'inf' is not a rate; give a number above 0"),
        (["--sequences-per-s", "fast"], "--sequences-per-s: 'fast' is not a rate; give a number above 0"),
        (["--sequence-length", "long"], "--sequence-length: 'long' is not a length; give a whole number of tokens"),
        (["--sequence-length", "3"], "--sequence-length: '3' is not a length that a recipe may have: give"),
        (["--sequences", "-1"], "--sequences: '-1' is not a count; give a whole number, 0 for none"),
        (["--sequences", "1.5"], "--sequences: '1.5' is not a count; give a whole number, 0 for none"),
    ],
)
def test_a_wrong_value_of_inspect_says_what_is_expected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect.main(["here", *arguments]) == 2
    assert f"error: argument {message}" in capsys.readouterr().err
