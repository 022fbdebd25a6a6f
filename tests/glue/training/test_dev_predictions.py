"""The predictions after the scored epoch are kept beside the score, and have its metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertd.errors import CheckpointError, StorageError
from bertd.glue import __main__
from bertd.glue.metrics import METRICS
from bertd.glue.training.dev_predictions import SetPredictions, pack_predictions, unpack_predictions
from bertd.records import AlertRecord, ScoreRecord
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import write_cola, write_job, write_stsb
from tests.glue.tiny_export import save_tiny_export


def _score(paths: JobPaths) -> ScoreRecord:
    return next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))


@pytest.mark.parametrize("task", ["cola", "sts-b"])
def test_the_predictions_that_are_kept_have_the_metrics_of_the_score(tmp_path: Path, task: str) -> None:
    export = save_tiny_export(tmp_path / "export")
    data_dir = (write_cola if task == "cola" else write_stsb)(tmp_path / "data")
    paths = write_job(tmp_path / "job", task=task, data_dir=str(data_dir), source=str(export))
    assert __main__.main([str(paths.root)]) == 0
    kept = unpack_predictions(paths.dev_predictions.read_bytes(), place="here")
    metrics = _score(paths).metrics
    assert list(kept) == [""] and len(kept[""].true) == 60
    for name, value in metrics.items():
        assert METRICS[name](kept[""].predicted, kept[""].true) == value


def test_several_sets_are_read_back() -> None:
    sets = {suffix: SetPredictions(np.arange(3.0), np.arange(3.0) / 7) for suffix in ("", "_mismatched")}
    again = unpack_predictions(pack_predictions(sets), place="here")
    assert list(again) == list(sets)
    for suffix, one in sets.items():
        assert (again[suffix].predicted == one.predicted).all() and (again[suffix].true == one.true).all()
    assert unpack_predictions(pack_predictions({}), place="here") == {}
    details = {"names": np.array(["O", "B-ÄX"]), "lengths": np.array([3])}
    tagged = SetPredictions(np.zeros(3, dtype=int), np.zeros(3, dtype=int), details)
    (read,) = unpack_predictions(pack_predictions({"_words": tagged}), place="here").values()
    assert {name: values.tolist() for name, values in read.details.items()} == {"names": ["O", "B-ÄX"], "lengths": [3]}


def test_a_damaged_file_is_one_error() -> None:
    content = pack_predictions({"": SetPredictions(np.arange(99.0), np.arange(99.0))})
    for damaged in (b"", b"garbage", content[:100], content[:-30], content[:90] + b"\xff" * 20 + content[110:]):
        with pytest.raises(CheckpointError, match="here: the predictions are damaged"):
            unpack_predictions(damaged, place="here")


def test_a_disk_that_refuses_the_predictions_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("dev-predictions.npz: cannot write: No space left on device; free space")

    monkeypatch.setattr("bertd.glue.job.atomic_write", refuse)
    export, data_dir = save_tiny_export(tmp_path / "export"), write_cola(tmp_path / "data", num_train=32)
    paths = write_job(tmp_path / "job", data_dir=str(data_dir), source=str(export))
    assert __main__.main([str(paths.root)]) == 0
    alerts = [record.code for record in read_journal(paths.journal) if isinstance(record, AlertRecord)]
    assert alerts == ["predictions_not_kept"]
    assert _score(paths).num_dev == 60 and not paths.dev_predictions.exists()
