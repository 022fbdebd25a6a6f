"""Where data sets are: by path, or by name in the folder of data sets."""

from __future__ import annotations

from pathlib import Path

from bertd.run.paths import default_data_dir, expand_user, is_data_set


def resolve_data_path(name: str) -> Path:
    """A path as it is; a bare name in the folder of data sets."""
    return expand_user(name).absolute() if "/" in name else default_data_dir() / name


def find_dataset(name: str) -> Path:
    """A data set's folder: the path, relative to the current folder, if it exists; else as `resolve_data_path`.

    Another folder of that name in the current one, such as the corpus, does not hide a prepared data set.
    """
    here, named = expand_user(name).absolute(), resolve_data_path(name)
    if is_data_set(here) or is_data_set(named):
        return here if is_data_set(here) else named
    return here if here.is_dir() else named
