"""The data sets of a recipe as TOML: a text, or an inline table of weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from bertd.errors import ShardError
from bertd.run.paths import find_data_set


def toml_string(text: str) -> str:
    """The text as a TOML string: TOML reads JSON's escapes, and requires one more, for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def format_weights(weights: Mapping[str, int]) -> str:
    """Weights by path as an inline table."""
    return f"{{{', '.join(f'{toml_string(path)} = {weight}' for path, weight in weights.items())}}}"


def format_shards(shards: str | Mapping[str, int]) -> str:
    """The value of data.shards."""
    return toml_string(shards) if isinstance(shards, str) else format_weights(shards)


def find_data_sets(shards: str | Mapping[str, int]) -> dict[str, int]:
    """The weights of a recipe's data sets by absolute path; one alone has the weight 1.

    Raises:
        ShardError: one is not found, or is named twice.
    """
    found = map_shards(shards, lambda name: str(find_data_set(name)))
    return {found: 1} if isinstance(found, str) else found


def map_shards(shards: str | Mapping[str, int], change: Callable[[str], str]) -> str | dict[str, int]:
    """The value of data.shards with each path changed.

    Raises:
        ShardError: two of them become the same.
    """
    if isinstance(shards, str):
        return change(shards)
    changed: dict[str, int] = {}
    for path, weight in shards.items():
        place = change(path)
        if place in changed:
            raise ShardError(f"[data] shards: {path!r} is {place}, which another one is, too; leave one out")
        changed[place] = weight
    return changed
