"""Parse the values on the command line of `bertd data`; an error says what is expected."""

from __future__ import annotations

import argparse
import math

from pydantic import ValidationError

from bertd.data.prepare.parts.ray_workers import CLIENT_PREFIX, LOCAL
from bertd.data.prepare.parts.worker_pool import ArrayTask
from bertd.data.sources.encodings import is_text_encoding
from bertd.data.sources.readers.rows.row_filter import parse_condition
from bertd.run.recipe.schema import DataSection
from bertd.validation_text import describe_problem


def parse_share(text: str) -> float:
    """From 0 to less than 1.

    Raises:
        ArgumentTypeError: anything else.
    """
    value = _parse_number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; give a number from 0 to less than 1, such as 0.05")
    return value


def parse_positive(text: str) -> int:
    """A whole number from 1.

    Raises:
        ArgumentTypeError: anything else.
    """
    value = _parse_whole_number(text)
    if value is None or value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is too little or not a number; give a whole number from 1")
    return value


def parse_count(text: str) -> int:
    """A whole number from 0.

    Raises:
        ArgumentTypeError: anything else.
    """
    value = _parse_whole_number(text)
    if value is None or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count; give a whole number, 0 for none")
    return value


def parse_integer(text: str) -> int:
    """A whole number, which may be negative.

    Raises:
        ArgumentTypeError: anything else.
    """
    value = _parse_whole_number(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return value


def parse_rate(text: str) -> float:
    """A finite number above 0.

    Raises:
        ArgumentTypeError: anything else.
    """
    value = _parse_number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate; give a number above 0, such as 250.5")
    return value


def parse_sequence_length(text: str) -> int:
    """A sequence length that a recipe may have.

    Raises:
        ArgumentTypeError: anything else.
    """
    value = _parse_whole_number(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length; give a whole number of tokens, such as 128")
    try:
        return DataSection(shards="here", sequence_length=value).sequence_length
    except ValidationError as error:
        expected = describe_problem(error.errors()[0])
        raise argparse.ArgumentTypeError(f"{text!r} is not a length that a recipe may have: {expected}") from error


def parse_encoding(text: str) -> str:
    """The name of an encoding.

    Raises:
        ArgumentTypeError: Python knows none of this name.
    """
    if not is_text_encoding(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an encoding; give one such as windows-1252 or shift_jis")
    return text


SLURM = "slurm"


def parse_cluster(text: str) -> str:
    """Where parts are made: ray, ray://HOST:PORT or slurm.

    Raises:
        ArgumentTypeError: anything else.
    """
    if text not in (SLURM, LOCAL) and not (text.startswith(CLIENT_PREFIX) and text.removeprefix(CLIENT_PREFIX)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a cluster; give ray, ray://HEAD:10001 or slurm")
    return text


def parse_array_task(text: str) -> ArrayTask:
    """A task of an array, I/N.

    Raises:
        ArgumentTypeError: it is not one.
    """
    number, slash, num_tasks = map(str.strip, text.partition("/"))
    if not (slash and number.isdecimal() and num_tasks.isdecimal() and int(number) < int(num_tasks)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a task of an array; give I/N, such as 0/8 to 7/8")
    return ArrayTask(number=int(number), num_tasks=int(num_tasks))


def parse_where(text: str) -> str:
    """A condition on a column.

    Raises:
        ArgumentTypeError: it is not one.
    """
    try:
        parse_condition(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _parse_number(text: str) -> float:
    """NaN, which is in no range, if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _parse_whole_number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
