"""The configuration that a running daemon has: SIGHUP reads the files again, and a bad file changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from bertd.api.models import ConfigurationKeyView
from bertd.daemon.configuration.schema import Configuration
from bertd.daemon.configuration.sources import ConfigurationSources, LoadedConfiguration, Value, read_configuration
from bertd.errors import ConfigurationError

logger = logging.getLogger(__name__)

_AT_START = {"daemon.state_dir", "devices.finetunings_per_gpu"}
"""Keys that only a start applies."""


class LiveConfiguration:
    """What applies now, and what the files said when they were last read."""

    def __init__(
        self, sources: ConfigurationSources, started: LoadedConfiguration, *, report: Callable[[str], None]
    ) -> None:
        """`report` gets a sentence about each reload."""
        self._sources = sources
        self._started = started
        self._read = started
        self._report = report

    @property
    def values(self) -> Configuration:
        """What applies now; never keep it, since a reload replaces it."""
        started, read = self._started.values, self._read.values
        changes: dict[str, BaseModel] = {}
        for name in sorted(_AT_START):
            section, _, key = name.partition(".")
            kept = {key: getattr(getattr(started, section), key)}
            changes[section] = changes.get(section, getattr(read, section)).model_copy(update=kept)
        # All else is as it was read, also of a section that has no key of a start.
        return read.model_copy(update=changes)

    def views(self) -> list[ConfigurationKeyView]:
        """Each key, with the value that applies and the one that was read last."""
        applied = {key: value for key, value, _ in LoadedConfiguration(self.values, {}).rows()}
        return [
            ConfigurationKeyView(key=key, value=applied[key], origin=origin, read=read)
            for key, read, origin in self._read.rows()
        ]

    def reload(self) -> None:
        """Read the files again. A mistake in them is reported, and what was read before still applies."""
        try:
            read = read_configuration(self._sources)
        except ConfigurationError as error:
            self._report(f"the configuration was not reloaded, and the earlier one still applies: {error}")
            return
        before, self._read = self._read, read
        changes = describe_changes(before, read)
        self._report(f"the configuration was reloaded: {'; '.join(changes) or 'nothing has changed'}")


def describe_changes(before: LoadedConfiguration, after: LoadedConfiguration) -> list[str]:
    """One phrase for each key whose value is another, and whether it waits for a start. Pure."""
    values = {key: value for key, value, _ in before.rows()}
    # What is shown of hooks has no arguments and no paths of URLs.
    has_other_hooks = before.values.hooks != after.values.hooks
    return [
        f"{key} = {_text(value)}, was {_text(values[key])} ({Path(origin).name if '/' in origin else origin})"
        + (": applies when the daemon is started again" if key in _AT_START else "")
        for key, value, origin in after.rows()
        if value != values[key] or (key == "hooks" and has_other_hooks)
    ]


def _text(value: Value) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
