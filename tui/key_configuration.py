"""Read [keys] of the user's tui.toml: the name of an action, and its key or keys.

[keys]
pause-or-resume = "f5"
stop = ["X", "ctrl+x"]
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from bertd.errors import ConfigurationError
from bertd.terminal_text import terminal_line
from tui.actions.keys import KEYS_BY_ID, VIEW_TABLES, ChosenKeys, KeyBinding, KeyChoices

_MAX_BYTES = 64 * 1024
_RESERVED = ("ctrl+c",)
"""Quits, whatever else does."""


def key_file(environment: Mapping[str, str]) -> Path:
    """Where the file is, if there is one."""
    folder = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "bertd" / "tui.toml"


def read_keys(path: Path) -> KeyChoices:
    """The keys that the file changes; none without a file.

    Raises:
        ConfigurationError: unreadable, an unknown section, action or key, or a key of two actions.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read it: {error.strerror}; check its permissions") from error
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(f"{path}: larger than {_MAX_BYTES // 1024} KiB; it has one section, [keys]")
    try:
        tree = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not TOML: {terminal_line(str(error))}") from error
    unknown = [name for name in tree if name != "keys"]
    if unknown:
        raise ConfigurationError(f"{path}: unknown section or key {_quoted(unknown[0])}; known: [keys]")
    section = tree.get("keys", {})
    if not isinstance(section, dict):
        raise ConfigurationError(f'{path}: keys is a section: write [keys], and below it lines as stop = "X"')
    choices = {name: _choose(path, name, value) for name, value in section.items()}
    _check_one_action_each(path, choices)
    return choices


def _choose(path: Path, name: str, value: object) -> ChosenKeys:
    if name not in KEYS_BY_ID:
        raise ConfigurationError(f"{path}: [keys]: unknown action {_quoted(name)}; known: {', '.join(KEYS_BY_ID)}")
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or not written or not all(isinstance(key, str) for key in written):
        raise ConfigurationError(f'{path}: [keys]: {name}: give a key as "X", or several as ["X", "f5"]')
    return ChosenKeys(",".join(_key_name(path, name, key) for key in written), written[0])


def _key_name(path: Path, action: str, written: str) -> str:
    """Textual's name of a key.

    Raises:
        ConfigurationError: there is no such key, or it cannot be changed.
    """
    from textual.keys import Keys, _character_to_key  # Only for who has changed keys: the first frame is not to wait.

    name = _character_to_key(written) if len(written) == 1 and written.isprintable() else written
    known = {key.value for key in Keys if "<" not in key.value} | {
        _character_to_key(symbol) for symbol in string.punctuation
    }
    if len(written) != 1 and name not in known or not name.isprintable():
        raise ConfigurationError(
            f"{path}: [keys]: {action}: unknown key {_quoted(written)}; give one character, or a name such as f5, "
            "ctrl+x, pageup, space"
        )
    if name in _RESERVED:
        raise ConfigurationError(f"{path}: [keys]: {action}: {name} always quits; choose another key")
    return name


def _check_one_action_each(path: Path, choices: KeyChoices) -> None:
    """Check that no two actions of a view have one key, but where a view's own key stands for one of all views.

    Raises:
        ConfigurationError: two have.
    """
    for table in VIEW_TABLES:
        for one, other in combinations(table, 2):
            both = set(one.keys_in(choices)) & set(other.keys_in(choices))
            if both - (set(one.keys_in({})) & set(other.keys_in({}))):
                raise ConfigurationError(
                    f"{path}: [keys]: {min(both)} is the key of {_name(one)} and of {_name(other)}; "
                    "give one of them another key"
                )


def _name(key: KeyBinding) -> str:
    return key.id or f'"{key.meaning}", which cannot be changed'


def _quoted(text: str) -> str:
    return repr(terminal_line(text))
