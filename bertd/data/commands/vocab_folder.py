"""The folder that `bertd data vocab` writes: whole or not at all, and never over something else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bertd.errors import OutputExistsError, StorageError
from bertd.run.atomic_files import SHARED_MODE, atomic_write, exchange_folders, fsync_folder, temporary_folder
from bertd.run.paths import TRASH_PREFIX

_TOKENIZER_FILE = "tokenizer.json"
_KNOWN_FILES = {
    _TOKENIZER_FILE,
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "README.md",
}
"""Files of a vocabulary's folder; one with other files, such as a model's weights, is more than that."""


def check_vocabulary_folder(folder: Path, *, replace: bool) -> None:
    """Refuse a folder that cannot become a vocabulary's; to be called before the training, which takes long.

    Raises:
        OutputExistsError: it is a vocabulary's and `replace` is false, or something else is there.
        StorageError: it cannot be made.
    """
    try:
        if _is_taken(folder) and not replace:
            raise OutputExistsError(f"{folder}: exists; give another --out, or --replace to make it again")
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot make the folder: {error.strerror}; check the path") from error
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{folder}: cannot make the folder: Permission denied; check the permissions")


def write_vocabulary_folder(folder: Path, files: dict[str, bytes], *, replace: bool) -> None:
    """Write a vocabulary's files to a folder that appears when it is complete.

    Raises:
        OutputExistsError: as check_vocabulary_folder, for what was made there since.
        StorageError: the disk refused.
    """
    check_vocabulary_folder(folder, replace=replace)
    try:
        with temporary_folder(folder) as temporary:
            for name, content in files.items():
                atomic_write(temporary / name, content, mode=SHARED_MODE)
            fsync_folder(temporary)
            _publish(temporary, folder)
        fsync_folder(folder.parent)
    except OSError as error:
        raise StorageError(f"{folder}: cannot write: {error.strerror}; free space or check the permissions") from error


def _is_taken(folder: Path) -> bool:
    """Whether a vocabulary is there; an empty folder is not one.

    Raises:
        OutputExistsError: something else is there.
    """
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise OutputExistsError(f"{folder}: exists and is not a folder; give another --out")
        return False
    entries = list(folder.iterdir())
    names = {entry.name for entry in entries}
    if entries and not (_TOKENIZER_FILE in names and names <= _KNOWN_FILES and all(map(Path.is_file, entries))):
        raise OutputExistsError(f"{folder}: exists and is not a vocabulary; give another --out")
    return bool(entries)


def _publish(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
    elif exchange_folders(temporary, folder):
        shutil.rmtree(temporary)
    else:
        old = folder.with_name(TRASH_PREFIX + folder.name)
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old)
