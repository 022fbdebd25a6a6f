"""bertd.run.mailbox."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bertd.errors import StorageError
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


def command_text(number: int) -> str:
    return Command(number=number, t=1.0, verb=CommandKind.PAUSE, asked_by="x").model_dump_json()


NO_COMMANDS: dict[str, Callable[[Path], object]] = {
    "an unknown verb": lambda path: path.write_text('{"number": 1, "t": 1, "verb": "explode", "asked_by": "x"}'),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 100_000),
    "empty": lambda path: path.touch(),
    "a copy of another command": lambda path: path.write_text(command_text(7)),
    "a folder": lambda path: path.mkdir(),
    "a FIFO": lambda path: os.mkfifo(path),
    "a link": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("what", NO_COMMANDS)
def test_what_is_not_a_command_is_read_as_one_to_refuse_and_the_next_is_read(control: Path, what: str) -> None:
    control.mkdir()
    NO_COMMANDS[what](control / "000001.json")

    command = read_command(control, number=1)

    assert command is not None and (command.number, command.verb) == (1, CommandKind.UNREADABLE)
    assert "000001.json: not a command, and refused: " in command.problem
    assert post(control, verb=CommandKind.PAUSE, asked_by="x", now=1.0) == read_command(control, number=2)


def test_a_mailbox_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot use the mailbox"):
        post(tmp_path / "file" / "control", verb=CommandKind.PAUSE, asked_by="x", now=1.0)
