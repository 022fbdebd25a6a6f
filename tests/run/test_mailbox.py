"""bertd.run.mailbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.errors import RunFolderError, StorageError
from bertd.records import Command, CommandKind
from bertd.run.mailbox import post, read_command


@pytest.fixture
def control(tmp_path: Path) -> Path:
    return tmp_path / "control"


def test_commands_are_numbered_from_one_without_gaps(control: Path) -> None:
    for number, verb in enumerate([CommandKind.CHECKPOINT, CommandKind.PAUSE, CommandKind.STOP], start=1):
        posted = post(control, verb=verb, asked_by="uid 1000", now=5.0)
        assert posted == Command(number=number, t=5.0, verb=verb, asked_by="uid 1000")
        assert read_command(control, number=number) == posted
    assert read_command(control, number=4) is None


def test_a_mailbox_nobody_wrote_to_holds_nothing(control: Path) -> None:
    assert read_command(control, number=1) is None


def test_a_number_is_never_given_twice_even_past_a_million(control: Path) -> None:
    control.mkdir()
    old = Command(number=999_999, t=1.0, verb=CommandKind.PAUSE, asked_by="x")
    (control / "999999.json").write_text(old.model_dump_json())
    assert post(control, verb=CommandKind.STOP, asked_by="x", now=2.0).number == 1_000_000
    assert post(control, verb=CommandKind.STOP, asked_by="x", now=2.0).number == 1_000_001


def test_half_written_commands_of_a_dead_daemon_are_no_commands(control: Path) -> None:
    control.mkdir()
    (control / ".tmp-000001.json-123").write_text('{"number"')
    (control / "README.json").write_text("{}")
    assert read_command(control, number=1) is None
    assert post(control, verb=CommandKind.PAUSE, asked_by="x", now=1.0).number == 1


def test_an_entry_that_is_no_command_is_refused_by_name(control: Path) -> None:
    control.mkdir()
    (control / "000001.json").write_text('{"number": 1, "t": 1, "verb": "explode", "asked_by": "x"}')
    with pytest.raises(RunFolderError, match=r"000001\.json: not a command: .*; delete the file"):
        read_command(control, number=1)


def test_an_entry_that_cannot_be_read_is_refused_by_name(control: Path) -> None:
    (control / "000001.json").mkdir(parents=True)
    with pytest.raises(RunFolderError, match=r"000001\.json: cannot read the command: Is a directory"):
        read_command(control, number=1)


def test_a_mailbox_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot use the mailbox"):
        post(tmp_path / "file" / "control", verb=CommandKind.PAUSE, asked_by="x", now=1.0)
