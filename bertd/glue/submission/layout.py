"""The leaderboard's files: names, numbers of rows and spelling of labels.

A zip with a TSV for each test set at its top, of two columns with the header `index` and `prediction`, and a row for
each example in the order of the test file. Labels are those of the training files; STS-B's score is a number in 0..5.
Source: the FAQ and the sample submission of gluebenchmark.com, and the test files of its download; QNLI is the second
version, of 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bertd.errors import CorpusError
from bertd.glue.metrics import Values
from bertd.glue.tasks import TASKS, Task

HEADER = ("index", "prediction")
HIGHEST_SCORE = 5.0
"""Of STS-B; the lowest is 0."""


@dataclass(frozen=True)
class SubmittedFile:
    """One file of the zip."""

    name: str
    task: Task
    """Whose model answers; its columns are those of the test file."""
    test_file: str
    """Below the data folder."""
    hub_folder: str
    """In nyu-mll/glue."""
    hub_split: str
    num_rows: int
    """Of the official test set."""


def _file(name: str, *, num_rows: int, task: str | None = None) -> SubmittedFile:
    found = TASKS[task or name.lower()]
    hub_folder = found.name.replace("-", "")
    return SubmittedFile(f"{name}.tsv", found, f"{found.folder}/test.tsv", hub_folder, "test", num_rows)


SUBMITTED_FILES = (
    _file("CoLA", num_rows=1_063),
    _file("SST-2", num_rows=1_821),
    _file("MRPC", num_rows=1_725),
    _file("STS-B", num_rows=1_379),
    _file("QQP", num_rows=390_965),
    *(
        replace(
            _file(name, task="mnli", num_rows=num_rows),
            test_file=f"MNLI/test_{kind}.tsv",
            hub_split=f"test_{kind}",
        )
        for name, kind, num_rows in (("MNLI-m", "matched", 9_796), ("MNLI-mm", "mismatched", 9_847))
    ),
    _file("QNLI", num_rows=5_463),
    _file("RTE", num_rows=3_000),
    _file("WNLI", num_rows=146),
    replace(_file("AX", task="mnli", num_rows=1_104), test_file="diagnostic/diagnostic.tsv", hub_folder="ax"),
)
"""In the order of the GLUE paper. AX, the diagnostic set, is answered by the model of MNLI."""


def format_submission(file: SubmittedFile, *, indices: list[int], predicted: Values) -> str:
    """The content of a file.

    Args:
        file: which.
        indices: of the test file's rows.
        predicted: ids of the task's classes, or scores.

    Raises:
        CorpusError: the rows are not as many as the official test set has, or an index occurs twice.
    """
    if len(indices) != file.num_rows:
        raise CorpusError(
            f"{file.test_file}: {len(indices):,} rows, but the official test set has {file.num_rows:,}; "
            "download it again"
        )
    if len(set(indices)) != len(indices):
        raise CorpusError(f"{file.test_file}: an index occurs twice; download it again")
    labels = file.task.labels
    answers = (
        [f"{min(max(score, 0.0), HIGHEST_SCORE):.3f}" for score in predicted.tolist()]
        if labels is None
        else [labels[int(label)] for label in predicted.tolist()]
    )
    rows = [HEADER, *((str(index), answer) for index, answer in zip(indices, answers, strict=True))]
    return "".join("\t".join(row) + "\n" for row in rows)
