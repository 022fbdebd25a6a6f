"""The daemon's configuration as text: a row for each key."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.api.models import ConfigurationKeyView
from bertd.cli.output.tables import OutputStyle, format_table


def configuration_table(keys: Sequence[ConfigurationKeyView], *, style: OutputStyle) -> str:
    """One line per key: its value and where that comes from, and what waits for a start."""
    rows = [[key.key, _text(key.value), key.origin if key.read == key.value else _waiting(key)] for key in keys]
    return format_table(["KEY", "VALUE", "FROM"], rows, right=set(), style=style, shrink={2: 20})


def _waiting(key: ConfigurationKeyView) -> str:
    return f"{key.origin} says {_text(key.read)}: applies when the daemon is started again"


def _text(value: bool | int | float | str | None) -> str:
    if value is None:
        return "unset"
    return str(value).lower() if isinstance(value, bool) else str(value)
