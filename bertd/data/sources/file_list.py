"""The files that a path names: a file, a folder with all that is below it, or a glob."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path

from bertd.data.sources.hidden_files import is_hidden
from bertd.data.sources.kinds import SourceKind
from bertd.errors import CorpusError
from bertd.run.amounts.quantities import format_count
from bertd.run.paths import expand_user


def list_files(path: str, *, note: Callable[[str], None]) -> list[Path]:
    """The file, the files below a folder, or what a glob matches, sorted; hidden files of folders are skipped.

    Args:
        note: called with a line for what a glob matches and is not read.

    Raises:
        CorpusError: there is none, or something there is not a file.
        OSError: a folder cannot be read.
    """
    resolved = expand_user(path)
    if resolved.is_file():
        return [resolved]
    if resolved.is_dir():
        found = _walk(resolved)
    elif resolved.exists():
        # Each file is read twice, to find its kind and then for its text.
        raise CorpusError(f"{path}: is a pipe or a device, which cannot be read twice; write it to a file first")
    elif glob.has_magic(path):
        found = _match(path, str(resolved), note=note)
    else:
        kinds = ", ".join(SourceKind)
        raise CorpusError(f"{path}: no such file or folder; name a source KIND:PATH, with KIND one of {kinds}")
    if not found:
        raise CorpusError(f"{path}: holds no file; name another source")
    return sorted(found)


def _match(path: str, pattern: str, *, note: Callable[[str], None]) -> list[Path]:
    """The files that a glob matches.

    Raises:
        CorpusError: it also matches a broken link, a pipe or a device.
    """
    # Path.glob takes no absolute pattern.
    matches = list(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207
    found = [match for match in matches if match.is_file()]
    folders = [match for match in matches if match.is_dir()]
    for odd in set(matches).difference(found, folders):
        raise CorpusError(_not_a_file_message(odd))
    read_folders = {parent for file in found for parent in file.parents}
    if unread := sorted(folder for folder in folders if folder not in read_folders):
        more = f" (and {format_count(len(unread) - 1, 'more folder')})" if len(unread) > 1 else ""
        note(f"{path}: matches the folder {unread[0].name}{more}, which is not read; ** matches what is below folders")
    return found


def _not_a_file_message(file: Path) -> str:
    return f"{file}: not a file, or a broken link; remove it"


def _walk(folder: Path) -> list[Path]:
    """Files below a folder, links followed; what cannot be read is an error, which Path.rglob would skip.

    Raises:
        CorpusError: a link is broken or leads to a folder that was already visited, or an entry is not a file.
        OSError: a folder cannot be read.
    """

    def raise_error(error: OSError) -> None:
        raise error

    found = []
    seen_folders: set[Path] = set()
    for root, folders, names in os.walk(folder, onerror=raise_error, followlinks=True):
        if (place := Path(root).resolve()) in seen_folders:
            raise CorpusError(f"{root}: given twice, since a link leads to {place}; remove the link")
        seen_folders.add(place)
        folders[:] = [name for name in folders if not is_hidden(name)]
        for file in (Path(root, name) for name in names if not is_hidden(name)):
            if not file.is_file():
                raise CorpusError(_not_a_file_message(file))
            found.append(file)
    return found
