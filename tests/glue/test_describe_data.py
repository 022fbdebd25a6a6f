"""What a finetuning's data has is said before anything is queued, for every kind of task."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from bertd.errors import CorpusError, RecipeError
from bertd.glue import describe_data
from bertd.records import SQUAD_LABEL, SQUAD_TEXT, FinetuneSpec, OwnTask, TaskDescription
from tests.glue.glue_jobs import write_cola
from tests.glue.squad_files import ask, write_paragraphs, write_squad


def _ask(monkeypatch: pytest.MonkeyPatch, content: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    return describe_data.main()


def _spec(folder: Path, own: OwnTask | None) -> str:
    return FinetuneSpec(task="cola", data_dir=str(folder), own=own, source="@", source_name="@").model_dump_json()


def test_every_kind_of_task_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cola(tmp_path)
    (tmp_path / "pets.conll").write_text("cat B-PET\nsat O\n\n" * 3 + "dog B-PET\nran O\n")
    questions = str(write_squad(tmp_path / "train.json", size=12, none_every=3))
    squad = OwnTask(train=questions, dev=questions, is_squad=True, text=SQUAD_TEXT, label=SQUAD_LABEL)
    tagged = OwnTask(train=str(tmp_path / "pets.conll"), text=("1",), label="last")
    described = []
    for own in (None, tagged, squad):
        assert _ask(monkeypatch, _spec(tmp_path, own)) == 0
        described.append(TaskDescription.model_validate_json(capsys.readouterr().out))
    assert [(each.kind, each.num_train, each.num_dev, each.metric) for each in described] == [
        ("sequence classification", 240, 60, "matthews"),
        ("token classification", 3, 1, "f1"),
        ("question answering", 12, 12, "f1"),
    ]
    assert described[2].baseline == pytest.approx(1 / 3) and "threshold of no answer" in described[2].dev
    assert [len(each.warnings) for each in described] == [0, 1, 1]


def test_what_is_wrong_with_the_data_is_the_job_s_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_paragraphs(tmp_path / "a.json", [ask("cat", ("dog", 0))]))
    own = OwnTask(train=path, dev=path, is_squad=True, text=SQUAD_TEXT, label=SQUAD_LABEL)
    assert _ask(monkeypatch, _spec(tmp_path, own)) == CorpusError.exit_code
    assert "no answer is at its answer_start" in capsys.readouterr().err
    assert _ask(monkeypatch, json.dumps({"task": 3})) == RecipeError.exit_code
    assert "not a finetuning's spec" in capsys.readouterr().err
