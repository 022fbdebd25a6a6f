"""Where data sets are: by path, or by name in the folder of data sets."""

from __future__ import annotations

from pathlib import Path

from bertd.run.paths import default_data_dir, expand_user


def resolve_data_path(name: str) -> Path:
    """A path as it is; a bare name below the folder where data sets are looked up by name."""
    return expand_user(name).absolute() if "/" in name else default_data_dir() / name


def find_dataset(name: str) -> Path:
    """Where a data set lies: the folder of that name here, or the one among those that are looked up by name."""
    here = expand_user(name).absolute()
    return here if here.is_dir() else resolve_data_path(name)
