"""GLUE's diagnostic set, AX: pairs for a model of MNLI, scored with Matthews where the file has labels.

`diagnostic.tsv` of the download has none, as a test set; `diagnostic-full.tsv`, which GLUE offers apart, has them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bertd.errors import CorpusError
from bertd.glue.data.examples import Split, read_header, read_split
from bertd.glue.tasks import Task

_FOLDERS = ("diagnostic", "AX", "MNLI")
_FILES = ("diagnostic-full.tsv", "diagnostic.tsv")
_LAYOUTS = (
    (("Premise", "Hypothesis"), "Label"),
    (("sentence1", "sentence2"), "gold_label"),
    (("sentence1", "sentence2"), "label"),
)
"""Columns of the pair and of the label, in files that are in use."""


def find_diagnostic(task: Task, *, data_dir: Path) -> Path | None:
    """The diagnostic file that has labels; None if there is none and the task does not need it.

    Raises:
        CorpusError: the task is the diagnostic, and no file with labels is there.
    """
    found = [path for folder in _FOLDERS for name in _FILES if (path := data_dir / folder / name).is_file()]
    for path in found:
        if _find_layout(path) is not None:
            return path
    if not task.is_diagnostic:
        return None
    wanted = data_dir / _FOLDERS[0] / _FILES[0]
    if found:
        raise CorpusError(f"{found[0]}: has no labels to score; put the file with labels at {wanted}")
    raise CorpusError(f"{wanted}: does not exist; put GLUE's diagnostic file with labels there")


def read_diagnostic(task: Task, *, path: Path) -> Split:
    """Read the labelled pairs.

    Raises:
        CorpusError: the file is wrong.
    """
    layout = _find_layout(path)
    if layout is None:
        raise CorpusError(f"{path}: has no labels to score; give the file with labels")
    sentences, label = layout
    return read_split(replace(task, sentences=sentences, label=label), path=path)


def _find_layout(path: Path) -> tuple[tuple[str, ...], str] | None:
    header = read_header(path)
    return next((layout for layout in _LAYOUTS if {*layout[0], layout[1]} <= set(header)), None)
