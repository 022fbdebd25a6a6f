"""The charged time at which a run validates and pauses by itself: `pause.json` in its folder.

The daemon writes it while the run has no ranks, and rank 0 reads it at each start. A run that is started again without
a later mark pauses again at once, so a crash of anything cannot carry a run past its mark. It changes nothing that the
run computes, and so it is not in the recipe.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bertd.errors import RunFolderError
from bertd.records import Record
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.validation_text import describe_problem


class _PauseMark(Record):
    """Content of pause.json."""

    charged_s: float | None
    """None to train to the end of the budget."""


def write_pause_mark(path: Path, charged_s: float | None) -> None:
    """Replace the mark; None to train to the end of the budget.

    Raises:
        StorageError: the disk refused; the old one is unchanged.
    """
    atomic_write(path, _PauseMark(charged_s=charged_s).model_dump_json())


def read_pause_mark(path: Path) -> float | None:
    """The mark; None if there is none.

    Raises:
        RunFolderError: it cannot be read.
    """
    try:
        return _PauseMark.model_validate_json(read_bounded(path)).charged_s
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read it: {error.strerror}; check the permissions") from error
    except ValidationError as error:
        problem = describe_problem(error.errors()[0])
        raise RunFolderError(f"{path}: not the time of a pause: {problem}; delete the file to train on") from error
