"""Find the files of the configuration, read them in order, and say where each value came from.

A later file overrides an earlier one, key by key: /etc/bertd/bertd.toml, /etc/bertd/bertd.toml.d/*.toml in the order of
their names, then the same two in ~/.config/bertd. The hooks are a list and one value: a later list replaces an earlier
one. An environment variable overrides files, and an option of `bertd start` overrides both. Each file is checked as a
whole, so that a mistake names its file.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ValidationError

from bertd.daemon.configuration.schema import Configuration
from bertd.daemon.hooks.webhook import is_loopback
from bertd.errors import ConfigurationError
from bertd.run.paths import default_state_dir
from bertd.validation_text import describe_mistakes

Value: TypeAlias = bool | int | float | str | None
"""Of a key, as it is shown; None if it is not set."""
_Tree: TypeAlias = dict[str, dict[str, object] | list[object]]
"""As in TOML: the keys of sections, and the list of hooks."""

FILE_NAME = "bertd.toml"
SYSTEM_FOLDER = Path("/etc/bertd")
_MAX_FILE_BYTES = 256 * 1024
_VARIABLES = {"BERTD_STATE": ("daemon", "state_dir")}
"""Environment variables that set a key."""


@dataclass(frozen=True)
class ConfigurationSources:
    """Where the configuration is read from; the same at a start and at each reload."""

    folders: tuple[Path, ...]
    """Of bertd.toml and bertd.toml.d, later ones override; not used if there is a file."""
    file: Path | None = None
    """The only file that is read, which must exist; None for those in the folders."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Value] = field(default_factory=dict)
    """Of `bertd start`, by `section.key`."""

    def files(self) -> list[Path]:
        """The files that are read now, in their order.

        Raises:
            ConfigurationError: a folder cannot be listed.
        """
        if self.file is not None:
            return [self.file]
        return [file for folder in self.folders for file in _files_in(folder)]


@dataclass(frozen=True)
class LoadedConfiguration:
    """Values, each with its origin."""

    values: Configuration
    origins: Mapping[str, str]
    """By `section.key`: a file, `$VARIABLE` or `--option`; a key that is not in it has its default."""

    def rows(self) -> Iterator[tuple[str, Value, str]]:
        """Each key as `section.key`, its value, and its origin."""
        for section, keys in self.values.model_dump(mode="json", exclude={"hooks"}).items():
            for key, value in keys.items():
                name = f"{section}.{key}"
                shown = (", ".join(value) or None) if isinstance(value, list) else value
                if isinstance(value, dict):
                    shown = ", ".join(f"{limit} = {number}" for limit, number in value.items() if number is not None)
                yield name, shown, self.origins.get(name, "default")
        hooks = ", ".join(f"{hook.name} ({hook.target})" for hook in self.values.hooks)
        yield "hooks", hooks or None, self.origins.get("hooks", "default")

    @property
    def state_dir(self) -> Path:
        """The state folder; systemd's or the user's own where none is set."""
        chosen = self.values.daemon.state_dir
        return default_state_dir() if chosen is None else Path(chosen)


def default_sources(*, file: Path | None = None, options: Mapping[str, Value] | None = None) -> ConfigurationSources:
    """The sources of this process's environment.

    Args:
        file: read this file alone.
        options: by `section.key`; an option that was not given is None.
    """
    user_folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bertd"
    return ConfigurationSources(
        folders=(SYSTEM_FOLDER, user_folder),
        file=None if file is None else file.absolute(),
        environment={name: os.environ[name] for name in _VARIABLES if os.environ.get(name)},
        options={key: value for key, value in (options or {}).items() if value is not None},
    )


def read_configuration(sources: ConfigurationSources) -> LoadedConfiguration:
    """Read all sources.

    Raises:
        ConfigurationError: a file cannot be read, is not TOML, or has a key or value that is not known; or a hook's URL
            has a host that is not allowed.
    """
    tree: _Tree = {}
    origins: dict[str, str] = {}
    for file in sources.files():
        _override(tree, origins, _read_file(file), origin=str(file))
    for variable, (section, key) in _VARIABLES.items():
        if path := sources.environment.get(variable):
            # As for a client, a relative path is from the working folder.
            _override(tree, origins, {section: {key: str(Path(path).absolute())}}, origin=f"${variable}")
    for name, value in sources.options.items():
        section, _, key = name.partition(".")
        _override(tree, origins, {section: {key: value}}, origin=f"--{key.replace('_', '-')}")
    values = Configuration.model_validate_json(json.dumps(tree))
    _check_hosts(values, origin=origins.get("hooks", ""))
    return LoadedConfiguration(values=values, origins=origins)


def _override(
    tree: _Tree, origins: dict[str, str], changes: Mapping[str, Mapping[str, object] | list[object]], *, origin: str
) -> None:
    for section, keys in changes.items():
        if isinstance(keys, list):
            tree[section] = keys
            origins[section] = origin
            continue
        before = tree.setdefault(section, {})
        assert isinstance(before, dict)
        before.update(keys)
        origins.update({f"{section}.{key}": origin for key in keys})


def _check_hosts(values: Configuration, *, origin: str) -> None:
    """Refuse a hook whose URL leaves the machine for a host that is not allowed; the two may be in different files.

    Raises:
        ConfigurationError: there is one.
    """
    for hook in values.hooks:
        host = hook.host
        if host is not None and not is_loopback(host) and host not in values.webhooks.allowed_hosts:
            raise ConfigurationError(
                f"{origin}: [[hooks]] {hook.name}: url: {host} is not this machine; "
                "add it to allowed_hosts in [webhooks]"
            )


def _files_in(folder: Path) -> list[Path]:
    drop_ins = folder / f"{FILE_NAME}.d"
    try:
        added = sorted(path for path in drop_ins.iterdir() if path.suffix == ".toml" and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        added = []
    except OSError as error:
        raise ConfigurationError(f"{drop_ins}: cannot be listed: {error.strerror}; mend its permissions") from error
    file = folder / FILE_NAME
    return [*([file] if os.path.lexists(file) else []), *added]


def _read_file(path: Path) -> _Tree:
    """The keys that a file sets, checked.

    Raises:
        ConfigurationError: it cannot be read, is not TOML, or has a key or value that is not known.
    """
    try:
        with path.open("rb") as stream:
            encoded = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the configuration: {error.strerror}") from error
    if len(encoded) > _MAX_FILE_BYTES:
        raise ConfigurationError(
            f"{path}: larger than {_MAX_FILE_BYTES // 1024} KiB; a configuration is a page of TOML"
        )
    try:
        tree = tomllib.loads(encoded.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    try:
        checked = Configuration.model_validate_json(json.dumps(tree, default=str))
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise ConfigurationError(f"{path}: nested too deeply; a configuration is sections of keys") from error
        raise ConfigurationError(describe_mistakes(error, name=str(path), model=Configuration)) from error
    return {name: _set_keys(getattr(checked, name)) for name in checked.model_fields_set}


def _set_keys(
    section: BaseModel | tuple[BaseModel, ...] | dict[str, BaseModel],
) -> dict[str, object] | list[object]:
    if isinstance(section, dict):
        return {name: _set_keys(row) for name, row in section.items()}
    if isinstance(section, tuple):
        return [_set_keys(row) for row in section]
    return section.model_dump(mode="json", include=section.model_fields_set)
