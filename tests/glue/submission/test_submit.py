"""bertd.glue.submission: the leaderboard's zip, from test files without labels and models that were kept."""

from __future__ import annotations

import csv
import io
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bertd.errors import CheckpointError, CorpusError
from bertd.glue.data.unlabelled import read_test_file
from bertd.glue.model.classifier import load_classifier
from bertd.glue.model.finetuned_model import save_finetuned
from bertd.glue.submission.layout import SUBMITTED_FILES, format_submission
from bertd.glue.submission.submit import write_submission
from bertd.glue.tasks import TASKS
from bertd.records import ChosenModel, SubmissionRequest
from tests.glue.glue_jobs import draw_sentence
from tests.glue.tiny_export import save_tiny_export

YES_NO = {"0", "1"}
ENTAILMENT = {"entailment", "not_entailment"}
NLI = {"entailment", "neutral", "contradiction"}
OFFICIAL: dict[str, tuple[int, set[str] | None]] = {
    "CoLA.tsv": (1063, YES_NO),
    "SST-2.tsv": (1821, YES_NO),
    "MRPC.tsv": (1725, YES_NO),
    "STS-B.tsv": (1379, None),
    "QQP.tsv": (390965, YES_NO),
    "MNLI-m.tsv": (9796, NLI),
    "MNLI-mm.tsv": (9847, NLI),
    "QNLI.tsv": (5463, ENTAILMENT),
    "RTE.tsv": (3000, ENTAILMENT),
    "WNLI.tsv": (146, YES_NO),
    "AX.tsv": (1104, NLI),
}
"""Rows and labels of the leaderboard's files, spelt apart from the code."""
HEADERS = {
    "CoLA/test.tsv": "index\tsentence",
    "STS-B/test.tsv": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
    "WNLI/test.tsv": "index\tsentence1\tsentence2",
    "diagnostic/diagnostic.tsv": "index\tsentence1\tsentence2",
}


def write_test_set(data_dir: Path, *, name: str, num_rows: int) -> None:
    """A test file with the official columns; its last line lacks its newline, and quotes stand alone."""
    draw = random.Random(num_rows)
    columns = HEADERS[name].split("\t")
    lines = [HEADERS[name]]
    for index in range(num_rows):
        texts = [f'{draw_sentence(draw, label=index % 2)} "' for column in columns if column.startswith("sentence")]
        lines.append("\t".join([str(index), *["x"] * (len(columns) - 1 - len(texts)), *texts]))
    path = data_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8-sig" if name.startswith("STS-B") else "utf-8")


def keep_model(folder: Path, export: Path, *, task: str) -> ChosenModel:
    torch.manual_seed(1)
    classifier = load_classifier(export, TASKS[task].head, max_length=32)
    if task == "sts-b":
        # Far below the scale.
        torch.nn.init.constant_(classifier.model.classifier.bias, -40.0)
    save_finetuned(folder / task, classifier, task=task, text=("a",), tokenizer_dir=export, source="7-demo/step-1")
    return ChosenModel(task=task, folder=str(folder / task), description="seed 42")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glue")
    for name, num_rows in zip(HEADERS, (1063, 1379, 146, 1104), strict=True):
        write_test_set(folder, name=name, num_rows=num_rows)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[ChosenModel]:
    folder = tmp_path_factory.mktemp("models")
    export = save_tiny_export(folder / "export")
    return [keep_model(folder, export, task=task) for task in ("cola", "sts-b", "wnli", "mnli")]


def request(data: Path, models: list[ChosenModel], out: Path, *, is_partial: bool = True) -> SubmissionRequest:
    gaps = {"rte": "was not finetuned; get its model with `bertd finetune`"}
    return SubmissionRequest(data_dir=str(data), out=str(out), is_partial=is_partial, models=models, gaps=gaps)


def test_every_file_has_the_leaderboards_name_header_labels_and_rows() -> None:
    assert {file.name: file.num_rows for file in SUBMITTED_FILES} == {name: OFFICIAL[name][0] for name in OFFICIAL}
    for file in SUBMITTED_FILES:
        labels = OFFICIAL[file.name][1]
        ids = (np.arange(48) % len(labels) if labels else np.arange(48) % 8 - 1).astype(float)
        text = format_submission(replace(file, num_rows=48), indices=list(range(48)), predicted=ids)
        header, *rows = [line.split("\t") for line in text.splitlines()]
        assert header == ["index", "prediction"] and [row[0] for row in rows] == list(map(str, range(48)))
        assert {row[1] for row in rows} == (labels or {f"{score}.000" for score in range(6)}), file.name
        with pytest.raises(CorpusError, match=f"48 rows, but the official test set has {file.num_rows:,}"):
            format_submission(file, indices=list(range(48)), predicted=ids)


def test_the_zip_holds_what_stock_readers_take(
    data: Path, models: list[ChosenModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_submission(request(data, models, tmp_path / "glue.zip"))

    said = capsys.readouterr()
    assert "4 of 11 files" in said.out
    assert "rte: was not finetuned" in said.err and f"QQP.tsv: the test file {data}/QQP/test.tsv is missing" in said.err
    with zipfile.ZipFile(tmp_path / "glue.zip") as archive:
        assert set(archive.namelist()) == {"CoLA.tsv", "STS-B.tsv", "WNLI.tsv", "AX.tsv"}
        for name in archive.namelist():
            rows = list(csv.DictReader(io.StringIO(archive.read(name).decode()), delimiter="\t"))
            num_rows, labels = OFFICIAL[name]
            assert [int(row["index"]) for row in rows] == list(range(num_rows))
            answers = {row["prediction"] for row in rows}
            if labels is None:
                assert "0.000" in answers and all(0 <= float(answer) <= 5 for answer in answers)
            else:
                assert answers <= labels
    first = (tmp_path / "glue.zip").read_bytes()
    write_submission(request(data, models, tmp_path / "glue.zip"))
    assert (tmp_path / "glue.zip").read_bytes() == first


def test_what_the_leaderboard_would_refuse_is_not_written(
    data: Path, models: list[ChosenModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "glue.zip"
    with pytest.raises(CheckpointError, match=r"4 of the leaderboard's 11 files .* --partial"):
        write_submission(request(data, models, out, is_partial=False))
    assert "MNLI-mm.tsv: the test file" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="no file"):
        write_submission(request(tmp_path, models, out))
    of_cola = models[0].model_copy(update={"task": "mnli"})
    with pytest.raises(CheckpointError, match="predicts 0, 1, but mnli has contradiction"):
        write_submission(request(data, [of_cola], out))
    write_test_set(tmp_path, name="WNLI/test.tsv", num_rows=145)
    with pytest.raises(CorpusError, match="145 rows, but the official test set has 146"):
        write_submission(request(tmp_path, models, out))
    assert not out.exists()


def test_a_test_file_is_read_without_quoting_and_every_row_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_text('index\tsentence\n0\t"a b\n1\tc "" d\u2028e', encoding="utf-8-sig")
    read = read_test_file(TASKS["cola"], path=path)
    assert [example.first for example in read.split.examples] == ['"a b', 'c "" d\u2028e']
    assert read.indices == [0, 1]
    path.write_text("id\tquestion1\tquestion2\n7\ta\tb\n")
    assert read_test_file(TASKS["qqp"], path=path).indices == [7]
    for content, wrong in (
        ("index\tsentence\n0\ta\tb\n", "line 2: 3 fields"),
        ("index\tsentence\nx\ta\n", "index 'x'"),
        ("sentence\na\n", "no column 'index'"),
        ("index\ttext\n", "no column 'sentence'"),
        ("index\tsentence\n", "no example"),
        ("index\tsentence\n0\ta\n\n", "line 3: 1 fields"),
    ):
        path.write_text(content)
        with pytest.raises(CorpusError, match=wrong):
            read_test_file(TASKS["cola"], path=path)


def test_the_hubs_test_sets_are_read_too(tmp_path: Path, models: list[ChosenModel]) -> None:
    import datasets

    rows = [{"sentence1": "a b", "sentence2": "c", "label": -1, "idx": index} for index in range(146)]
    (tmp_path / "wnli").mkdir()
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "wnli" / "test-00000-of-00001.parquet")
    write_submission(request(tmp_path, models, tmp_path / "glue.zip"))
    with zipfile.ZipFile(tmp_path / "glue.zip") as archive:
        assert archive.namelist() == ["WNLI.tsv"] and archive.read("WNLI.tsv").count(b"\n") == 147


@pytest.mark.realdata
def test_the_official_test_files_are_read_whole(real_data: Path) -> None:
    found = [file for file in SUBMITTED_FILES if (real_data / "glue" / file.test_file).is_file()]
    assert len(found) == 8, "all but QQP's and MNLI's"
    for file in found:
        read = read_test_file(file.task, path=real_data / "glue" / file.test_file)
        assert read.indices == list(range(file.num_rows)), file.name
