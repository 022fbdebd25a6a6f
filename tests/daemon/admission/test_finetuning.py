"""A finetuning without its task's files, or without an export to start from, is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bertd.daemon.admission.finetuning import require_export, require_own_data, require_task_data
from bertd.errors import CheckpointError, CorpusError, RecipeError
from bertd.records import OwnTask


def write_task(root: Path, folder: str, *names: str) -> Path:
    (root / folder).mkdir(parents=True)
    for name in names:
        (root / folder / name).touch()
    return root


def test_a_task_with_its_two_files_is_admitted(tmp_path: Path) -> None:
    require_task_data("cola", str(write_task(tmp_path, "CoLA", "train.tsv", "dev.tsv")))
    require_task_data("mnli", str(write_task(tmp_path, "MNLI", "train.tsv", "dev_matched.tsv")))


def test_a_folder_without_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"CoLA/train.tsv: does not exist, and cola needs it; give the folder"):
        require_task_data("cola", "/etc")
    write_task(tmp_path, "MNLI", "train.tsv", "dev.tsv")
    with pytest.raises(CorpusError, match=r"MNLI/dev_matched.tsv: does not exist"):
        require_task_data("mnli", str(tmp_path))
    write_task(tmp_path, "RTE", "dev.tsv")
    os.mkfifo(tmp_path / "RTE" / "train.tsv")
    with pytest.raises(CorpusError, match=r"train.tsv: a pipe, and not a file"):
        require_task_data("rte", str(tmp_path))


@pytest.mark.parametrize("data_dir", ["relative", "/nowhere", "/dev/zero", "/" + "a" * 5000])
def test_what_is_no_folder_is_refused(data_dir: str) -> None:
    with pytest.raises(CorpusError):
        require_task_data("cola", data_dir)


def test_a_copy_of_the_hub_needs_the_split_of_each_set(tmp_path: Path) -> None:
    folder = write_task(tmp_path, "mnli", "train-00000-of-00001.parquet") / "mnli"
    with pytest.raises(CorpusError, match=r"mnli/validation_matched-\*\.parquet: does not exist, and ax needs it"):
        require_task_data("ax", str(tmp_path))
    (folder / "validation_matched-00000-of-00001.parquet").touch()
    require_task_data("mnli", str(tmp_path))


def test_the_tables_of_ones_own_task_must_be_files(tmp_path: Path) -> None:
    def own(train: str, dev: str | None = None) -> OwnTask:
        return OwnTask(train=train, dev=dev, text=("a",), label="y")

    table = tmp_path / "train.csv"
    table.touch()
    require_own_data(own(str(table)))
    require_own_data(own(str(table), str(table)))
    for absent in ("train.csv", str(tmp_path / "absent.csv"), "/a\0b", "/" + "a" * 5000):
        with pytest.raises(CorpusError):
            require_own_data(own(str(table), absent))
    with pytest.raises(CorpusError, match="a folder, and not a file"):
        require_own_data(own(str(tmp_path)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": ("word",)}, "--text 'word': tagged words are one column; give its number"),
        ({"text": ("1", "2")}, "--text '1,2'"),
        ({"label": "tag"}, "--label 'tag': give the number of the tags' column"),
        ({"metric": "matthews"}, "--metric matthews: tags have f1 and accuracy"),
        ({"dev": "dev.csv"}, "one file is a table, the other has tagged words"),
    ],
)
def test_tagged_words_need_numbers_of_columns_and_a_metric_of_tags(
    tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    for name in ("train.conll", "dev.csv"):
        (tmp_path / name).touch()
    own = OwnTask(train=str(tmp_path / "train.conll"), text=("1",), label="last")
    require_own_data(own)
    if "dev" in fields:
        fields = {"dev": str(tmp_path / "dev.csv")}
    with pytest.raises(RecipeError, match=re.escape(message)):
        require_own_data(OwnTask.model_validate({**own.model_dump(), **fields}))


def test_questions_need_json_and_a_metric_of_answers(tmp_path: Path) -> None:
    for name in ("train.json", "dev.csv"):
        (tmp_path / name).touch()
    own = OwnTask(train=str(tmp_path / "train.json"), is_squad=True, text=("question", "context"), label="answers")
    require_own_data(own)
    for fields, message in (
        ({"dev": str(tmp_path / "dev.csv")}, "is not a .json file"),
        ({"metric": "accuracy"}, "--metric accuracy: answers have f1; leave it out"),
    ):
        with pytest.raises(RecipeError, match=message):
            require_own_data(OwnTask.model_validate({**own.model_dump(), **fields}))


def test_a_task_that_glue_does_not_have_is_refused() -> None:
    with pytest.raises(RecipeError, match="no such task; those are: cola, "):
        require_task_data("coal", "/")


def test_an_export_needs_its_configuration_weights_and_tokenizer(tmp_path: Path) -> None:
    for name, content, missing in [
        ("config.json", "{}", "no config.json"),
        ("model.safetensors", "", "no model.safetensors"),
        ("tokenizer.json", "", "neither tokenizer.json nor vocab.txt"),
    ]:
        with pytest.raises(CheckpointError, match=f"not an export .{missing}"):
            require_export(tmp_path)
        (tmp_path / name).write_text(content)
    assert require_export(tmp_path) == tmp_path
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"nested too deeply; .bertd show RUN. names"):
        require_export(tmp_path)
