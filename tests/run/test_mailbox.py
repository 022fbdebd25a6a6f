"""bertd.run.mailbox."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bertd.errors import StorageError
from bertd.records import Command, CommandKind, CommandRecord
from bertd.run.journal import append_records
from bertd.run.mailbox import commands_after, post, read_command
from bertd.run.paths import JobPaths


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
    answer = CommandRecord.answer(old, t=1.0, step=1, outcome="done", detail="")
    append_records(JobPaths(control.parent).journal, [answer])
    assert post(control, verb=CommandKind.STOP, asked_by="x", now=2.0).number == 1_000_000
    assert post(control, verb=CommandKind.STOP, asked_by="x", now=2.0).number == 1_000_001


def test_half_written_commands_of_a_dead_daemon_are_no_commands(control: Path) -> None:
    control.mkdir()
    (control / ".tmp-000001.json-123").write_text('{"number"')
    (control / "README.json").write_text("{}")
    assert read_command(control, number=1) is None
    assert post(control, verb=CommandKind.PAUSE, asked_by="x", now=1.0).number == 1


@pytest.mark.parametrize("num_answered", [0, 1, 2])
@pytest.mark.parametrize("content", ["no command", "a command", "a link", "a folder"])
def test_an_entry_beyond_a_gap_is_refused_and_hides_no_later_command(
    control: Path, content: str, num_answered: int
) -> None:
    posted = [post(control, verb=CommandKind.CHECKPOINT, asked_by="x", now=1.0) for _ in range(2)]
    answers = [CommandRecord.answer(each, t=1.0, step=1, outcome="done", detail="") for each in posted]
    append_records(JobPaths(control.parent).journal, answers[:num_answered])
    stray = control / "000009.json"
    if content == "a link":
        stray.symlink_to("nowhere")
    elif content == "a folder":
        stray.mkdir()
    else:
        stray.write_text(command_text(9) if content == "a command" else content)
    pause = post(control, verb=CommandKind.PAUSE, asked_by="x", now=2.0)
    read = list(commands_after(control, number=num_answered))
    assert [command.verb for command in read[-2:]] == [CommandKind.UNREADABLE, CommandKind.PAUSE]
    assert (read[-1], pause.number) == (pause, 4)
    assert "000003.json" in read[-2].problem
    assert post(control, verb=CommandKind.STOP, asked_by="x", now=3.0).number == 5


def test_names_that_no_reader_opens_take_no_number(control: Path) -> None:
    control.mkdir()
    for name in ("0000009.json", "000000.json"):
        (control / name).write_text(command_text(9))
    assert post(control, verb=CommandKind.PAUSE, asked_by="x", now=1.0).number == 1


def test_after_answered_entries_were_deleted_the_next_number_is_the_one_that_ranks_look_for(control: Path) -> None:
    posted = [post(control, verb=CommandKind.CHECKPOINT, asked_by="x", now=1.0) for _ in range(3)]
    answers = [CommandRecord.answer(each, t=1.0, step=1, outcome="done", detail="") for each in posted]
    append_records(JobPaths(control.parent).journal, answers)
    for number in (1, 2):
        (control / f"{number:06d}.json").unlink()
    assert post(control, verb=CommandKind.PAUSE, asked_by="x", now=1.0).number == 4


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
