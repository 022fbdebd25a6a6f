"""bertd.run.atomic_files: the temporaries of a dead writer are deleted, those of a live one are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.run.atomic_files import sweep_temporaries, temporary_folder


def test_what_is_being_written_stays_and_what_a_dead_process_left_goes(tmp_path: Path) -> None:
    for name in (".tmp-step-000000001-4000000", ".trash-step-000000002", "step-000000003"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".tmp-kept.json-1-1").touch()
    (tmp_path / ".tmp-link").symlink_to(tmp_path / "step-000000003")

    with temporary_folder(tmp_path / "step-000000004") as temporary:
        (temporary / "file").touch()
        sweep_temporaries(tmp_path)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [temporary.name, "step-000000003"]
        temporary.rename(tmp_path / "step-000000004")

    sweep_temporaries(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-000000003", "step-000000004"]
    assert all((entry / "file").exists() for entry in tmp_path.iterdir())


def test_a_writer_that_fails_leaves_nothing_and_the_next_takes_away_what_others_of_its_name_left(
    tmp_path: Path,
) -> None:
    (tmp_path / ".tmp-step-000000004-4000000").mkdir()
    (tmp_path / ".tmp-step-000000005-4000000").mkdir()
    with pytest.raises(OSError, match="full"), temporary_folder(tmp_path / "step-000000004") as temporary:
        (temporary / "file").touch()
        raise OSError("full")
    assert [entry.name for entry in tmp_path.iterdir()] == [".tmp-step-000000005-4000000"]


def test_no_folder_has_nothing_to_sweep(tmp_path: Path) -> None:
    sweep_temporaries(tmp_path / "none")
    assert not (tmp_path / "none").exists()
