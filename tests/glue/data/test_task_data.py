"""The examples of a task from GLUE's own files, from a copy of nyu-mll/glue, and the diagnostic set."""

from __future__ import annotations

from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from bertd.errors import CorpusError
from bertd.glue.data.examples import Example, read_split
from bertd.glue.data.task_data import TaskData, read_task_data
from bertd.glue.tasks import TASKS, find_task
from bertd.records import FinetuneSpec

_HUB_LABELS = {
    "cola": ["unacceptable", "acceptable"],
    "mnli": ["entailment", "neutral", "contradiction"],
    "qnli": ["entailment", "not_entailment"],
    "stsb": None,
}


def _read(task: str, data_dir: Path) -> TaskData:
    return read_task_data(FinetuneSpec(task=task, data_dir=str(data_dir), source="/export", source_name="1"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_hub(folder: Path, split: str, rows: dict[str, list[object]], *, has_names: bool = True) -> None:
    """A split as `datasets` writes it, with the words of its labels in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}-00000-of-00001.parquet"
    names = _HUB_LABELS.get(folder.name)
    if names and has_names:
        features = datasets.Features(
            {name: datasets.Value("string") for name in rows if name != "label"}
            | {"label": datasets.ClassLabel(names=names)}
        )
        datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    else:
        pyarrow.parquet.write_table(pyarrow.table(rows), path)


def _write_mnli(root: Path) -> None:
    for name in ("train", "dev_matched", "dev_mismatched"):
        _write(root / "MNLI" / f"{name}.tsv", "sentence1\tsentence2\tgold_label\na\tb\tneutral\nc\td\tentailment\n")


@pytest.mark.parametrize("has_names", [True, False])
def test_a_copy_of_the_hub_gives_the_examples_of_glues_own_files(tmp_path: Path, has_names: bool) -> None:
    for split in ("train", "validation_matched", "validation_mismatched"):
        rows: dict[str, list[object]] = {"premise": ["a", "c"], "hypothesis": ["b", "d"], "label": [1, 0]}
        _write_hub(tmp_path / "hub" / "mnli", split, rows, has_names=has_names)
    _write_mnli(tmp_path / "tsv")
    hub, tsv = _read("mnli", tmp_path / "hub"), _read("mnli", tmp_path / "tsv")
    assert hub.train.examples == tsv.train.examples == [Example("a", "b", 2.0), Example("c", "d", 1.0)]
    assert {name: split.examples for name, split in hub.dev.items()} == {
        name: split.examples for name, split in tsv.dev.items()
    }
    assert list(hub.dev) == ["", "_mismatched"]


def test_scores_and_single_sentences_of_the_hub_are_read(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        _write_hub(tmp_path / "stsb", split, {"sentence1": ["a"], "sentence2": ["b"], "label": [2.5]})
        _write_hub(tmp_path / "cola", split, {"sentence": ["a\tb\n"], "label": [1]})
    assert _read("sts-b", tmp_path).train.examples == [Example("a", "b", 2.5)]
    assert _read("cola", tmp_path).dev[""].examples == [Example("a\tb\n", None, 1.0)]


def test_a_missing_split_of_the_hub_is_named(tmp_path: Path) -> None:
    _write_hub(tmp_path / "qnli", "validation", {"question": ["a"], "sentence": ["b"], "label": [1]})
    with pytest.raises(CorpusError, match=r"qnli/train-\*\.parquet: does not exist, and qnli needs it"):
        _read("qnli", tmp_path)


def test_a_set_with_hidden_labels_is_not_trained_on(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        _write_hub(tmp_path / "cola", split, {"sentence": ["a", "b"], "label": [1, -1]})
    with pytest.raises(CorpusError, match=r"row 2: label -1 .a hidden one, as in a test set. is not 0 to 1"):
        _read("cola", tmp_path)


def test_a_damaged_file_of_the_hub_is_one_error(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        _write_hub(tmp_path / "cola", split, {"sentence": ["a"], "label": [1]})
    (tmp_path / "cola" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(CorpusError, match=r"cola/train-\*\.parquet: cannot load"):
        _read("cola", tmp_path)


def test_the_diagnostic_set_is_scored_where_it_has_labels(tmp_path: Path) -> None:
    _write_mnli(tmp_path)
    without = "index\tsentence1\tsentence2\n0\ta\tb\n"
    _write(tmp_path / "diagnostic" / "diagnostic.tsv", without)
    assert list(_read("mnli", tmp_path).dev) == ["", "_mismatched"]
    with pytest.raises(CorpusError, match=r"diagnostic.tsv: has no labels to score; put the file with labels at"):
        _read("ax", tmp_path)
    full = 'Logic\tPremise\tHypothesis\tLabel\n\tA "b\tc\tcontradiction\n'
    _write(tmp_path / "diagnostic" / "diagnostic-full.tsv", full)
    for task in ("mnli", "ax"):
        data = _read(task, tmp_path)
        assert data.dev["_diagnostic"].examples == [Example('A "b', "c", 0.0)]
        assert data.task.metrics_of("_diagnostic") == ("matthews",)
        assert data.task.metrics_of("_mismatched") == ("accuracy",)
    assert (TASKS["ax"].headline, TASKS["ax"].selection_metric) == ("matthews_diagnostic", "accuracy")


def test_a_diagnostic_set_that_is_nowhere_is_an_error_of_its_task_alone(tmp_path: Path) -> None:
    _write_mnli(tmp_path)
    assert "_diagnostic" not in _read("mnli", tmp_path).dev
    with pytest.raises(CorpusError, match=r"diagnostic/diagnostic-full.tsv: does not exist"):
        _read("ax", tmp_path)


def test_the_hubs_diagnostic_set_hides_its_labels(tmp_path: Path) -> None:
    for split in ("train", "validation_matched"):
        _write_hub(tmp_path / "mnli", split, {"premise": ["a"], "hypothesis": ["b"], "label": [1]})
    _write_hub(tmp_path / "ax", "test", {"premise": ["a"], "hypothesis": ["b"], "label": [-1]})
    data = _read("mnli", tmp_path)
    assert list(data.dev) == [""]
    assert [code for code, _ in data.warnings] == ["dev_set_absent"]
    with pytest.raises(CorpusError, match=r"ax/test-\*\.parquet: has no labels to score"):
        _read("ax", tmp_path)
    _write_hub(tmp_path / "ax", "test", {"premise": ["a"], "hypothesis": ["b"], "label": [2]})
    assert _read("ax", tmp_path).dev["_diagnostic"].examples == [Example("a", "b", 0.0)]


@pytest.mark.realdata
def test_the_real_qnli_lacks_its_training_set_and_the_error_names_it(real_data: Path) -> None:
    with pytest.raises(CorpusError, match=r"QNLI/train.tsv: cannot read"):
        _read("qnli", real_data / "glue")


@pytest.mark.realdata
def test_the_real_mnli_lacks_its_mismatched_set_which_is_a_warning(real_data: Path) -> None:
    data = _read("mnli", real_data / "glue")
    assert list(data.dev) == [""]
    assert [code for code, _ in data.warnings] == ["dev_set_absent"]
    assert "dev_mismatched.tsv" in data.warnings[0][1]
    with pytest.raises(CorpusError, match=r"diagnostic.tsv: has no labels to score"):
        _read("ax", real_data / "glue")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "rte", "wnli"])
def test_real_fields_keep_their_quotes_and_lose_byte_order_marks(name: str, real_data: Path) -> None:
    data = _read(name, real_data / "glue")
    files = [data.train, *data.dev.values()]
    for split in files:
        content = split.path.read_text(encoding="utf-8-sig")
        num_header = 0 if find_task(name).columns else 1
        num_lines = len(content.removesuffix("\n").split("\n"))
        assert len(split.examples) + split.skipped_lines == num_lines - num_header
        kept = sum((example.first + (example.second or "")).count('"') for example in split.examples)
        assert kept > 0 or '"' not in content
        assert not any("\ufeff" in example.first for example in split.examples)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "column"), [("cola", None), ("mrpc", "Quality"), ("sts-b", "score")])
def test_a_real_test_file_is_not_taken_for_a_labelled_set(name: str, column: str | None, real_data: Path) -> None:
    task = find_task(name)
    path = real_data / "glue" / task.folder / "test.tsv"
    with pytest.raises(CorpusError, match=f"no column '{column}'" if column else "line 1: 2 fields, but 4 columns"):
        read_split(task, path=path)
