"""Where data sets are: by path, or by name in the folder of data sets."""

from __future__ import annotations

from pathlib import Path

from bertd.run.paths import default_data_dir, expand_user


def resolve_data_path(name: str) -> Path:
    """A path as it is; a bare name in the folder of data sets."""
    return expand_user(name).absolute() if "/" in name else default_data_dir() / name


def find_dataset(name: str) -> Path:
    """A data set's folder: the path, relative to the current folder, if it exists; else as `resolve_data_path`."""
    here = expand_user(name).absolute()
    return here if here.is_dir() else resolve_data_path(name)
