"""Data sets and vocabularies are readable for whom the umask says, whatever the library that wrote the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.data.commands.vocab import train_vocabulary
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.tokenizer.wordpiece import Casing


@pytest.fixture(params=[0o022, 0o002, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_of(folder: Path) -> dict[str, int]:
    """Mode of the folder and of everything in it."""
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("replace", [False, True])
def test_what_others_are_meant_to_read_has_the_modes_of_the_umask(
    umask: int, replace: bool, corpus: Path, tmp_path: Path
) -> None:
    casing = Casing(lowercase=True, strip_accents=True)
    for _ in range(1 + replace):
        train_vocabulary([str(corpus)], out=tmp_path / "vocab", size=120, casing=casing, replace=replace)
        options = PrepareOptions(vocab=str(tmp_path / "vocab"))
        prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1, replace=replace)
    for folder in (tmp_path / "vocab", tmp_path / "set"):
        for name, mode in modes_of(folder).items():
            assert mode == (0o777 if (folder / name).is_dir() else 0o666) & ~umask, name
