"""GLUE as the hub has it (Parquet, labels as numbers) to GLUE as its own download has it (TSV, labels as words)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import CorpusError
from bertd.run.atomic_files import SHARED_MODE, atomic_write

_DIGITS = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueTable:
    """One task: where it is on the hub, and the format of its files in the official download."""

    config: str
    """Folder on the hub."""
    folder: str
    """Folder in the download."""
    texts: dict[str, str]
    """Column on the hub to column in the download."""
    label: str
    """Column in the download."""
    labels: tuple[str, ...] | None = _DIGITS
    """Words for the numbers; None for a score."""
    has_header: bool = True
    leading_columns: tuple[str, ...] = ("index",)
    """Columns before the text, which hold numbers."""
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "dev"), ("test", "test"))
    """Split on the hub to file in the download."""


_PAIR = {"sentence1": "sentence1", "sentence2": "sentence2"}
_MNLI_SPLITS = (
    ("train", "train"),
    ("validation_matched", "dev_matched"),
    ("validation_mismatched", "dev_mismatched"),
    ("test_matched", "test_matched"),
    ("test_mismatched", "test_mismatched"),
)
GLUE_TABLES = (
    GlueTable("cola", "CoLA", {"sentence": "sentence"}, "label", has_header=False),
    GlueTable("sst2", "SST-2", {"sentence": "sentence"}, "label"),
    GlueTable("mrpc", "MRPC", {"sentence1": "#1 String", "sentence2": "#2 String"}, "Quality"),
    GlueTable("stsb", "STS-B", _PAIR, "score", labels=None),
    GlueTable(
        "qqp",
        "QQP",
        {"question1": "question1", "question2": "question2"},
        "is_duplicate",
        leading_columns=("id", "qid1", "qid2"),
    ),
    GlueTable(
        "mnli",
        "MNLI",
        {"premise": "sentence1", "hypothesis": "sentence2"},
        "gold_label",
        labels=("entailment", "neutral", "contradiction"),
        splits=_MNLI_SPLITS,
    ),
    GlueTable("qnli", "QNLI", {"question": "question", "sentence": "sentence"}, "label", labels=_ENTAILMENT),
    GlueTable("rte", "RTE", _PAIR, "label", labels=_ENTAILMENT),
    GlueTable("wnli", "WNLI", _PAIR, "label"),
)


def write_glue(hub: Path, *, out: Path) -> None:
    """Write the TSV files of every task whose Parquet files are below `hub`.

    Raises:
        CorpusError: no task is there, or a file cannot be read.
    """
    written = 0
    for table in GLUE_TABLES:
        for split, name in table.splits:
            files = sorted((hub / table.config).glob(f"{split}-*.parquet"))
            if files:
                (out / table.folder).mkdir(exist_ok=True)
                lines = _tsv_lines(table, files, is_test=split.startswith("test"))
                atomic_write(
                    out / table.folder / f"{name}.tsv", "".join(f"{line}\n" for line in lines), mode=SHARED_MODE
                )
                written += 1
    if not written:
        raise CorpusError(f"{hub}: holds no Parquet file of GLUE; fetch it again")


def _tsv_lines(table: GlueTable, files: list[Path], *, is_test: bool) -> Iterator[str]:
    """Lines of one TSV file; test files have an index and no label."""
    if is_test:
        yield "\t".join(["index", *table.texts.values()])
    elif table.has_header:
        yield "\t".join([*table.leading_columns, *table.texts.values(), table.label])
    for number, row in enumerate(_read_rows(files)):
        texts = [_tsv_field(row[column]) for column in table.texts]
        if is_test:
            yield "\t".join([str(number), *texts])
        elif table.has_header:
            yield "\t".join([*[str(number)] * len(table.leading_columns), *texts, _label_text(table, row["label"])])
        else:
            # CoLA: source, label, the author's own mark, sentence.
            yield "\t".join(["hub", _label_text(table, row["label"]), "", *texts])


def _read_rows(files: list[Path]) -> Iterator[dict[str, object]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CorpusError("GLUE from the hub needs the package pyarrow; pip install pyarrow") from error
    for path in files:
        try:
            rows: list[dict[str, object]] = pyarrow.parquet.read_table(path).to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise CorpusError(f"{path}: not a complete Parquet file: {error}; fetch it again") from error
        yield from rows


def _tsv_field(value: object) -> str:
    """A text on one line without tabs: the files are read without quoting."""
    return " ".join(str(value).split())


def _label_text(table: GlueTable, value: object) -> str:
    return str(value) if table.labels is None else table.labels[int(str(value))]
