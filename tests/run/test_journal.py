"""bertd.run.journal: only complete records are read, despite torn lines, full disks and changes of the writer."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.errors import RunFolderError, StorageError
from bertd.records import AlertRecord, JobState, JournalRecord, StateRecord, StepRecord, ValidationRecord
from bertd.run.journal import JournalReader, JournalWriter, append_records, read_journal
from bertd.run.sparse_lines import STEP_PREFIX, with_some_steps, without_inner_steps
from tests.run.plan.journals import SimulatedMachine, make_recipe


def step(number: int, *, loss: float = 5.0) -> StepRecord:
    return StepRecord(
        t=1.0,
        step=number,
        sequences=32 * number,
        charged_s=float(number),
        progress=0.5,
        loss=loss,
        lr=1e-3,
        grad_norm=1.0,
        sequences_per_s=100.0,
        tokens_per_s=12800.0,
    )


def paused(number: int) -> StateRecord:
    return StateRecord(t=1.0, step=number, charged_s=1.0, state=JobState.PAUSED, reason="asked")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def _append(path: Path, *records: JournalRecord) -> None:
    append_records(path, records)


def test_what_is_written_is_read_back_in_order(path: Path) -> None:
    records: list[JournalRecord] = [step(1), paused(1), step(2)]
    _append(path, *records)
    assert read_journal(path) == records


def test_the_journal_can_be_opened_again_after_a_record_that_the_disk_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    close = os.close

    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    def close_and_note(fd: int) -> None:
        closed.append(fd)
        close(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", lambda fd, size: None)
        patch.setattr(os, "write", lambda fd, line: refuse(fd))
        patch.setattr(os, "close", close_and_note)
        with pytest.raises(StorageError, match="No space left"):
            append_records(path, [step(1)])
    assert len(closed) == 1, "nothing holds the journal"
    append_records(path, [step(2)])
    assert read_journal(path) == [step(2)]


def test_an_absent_journal_has_no_records(path: Path) -> None:
    assert read_journal(path) == []
    reader = JournalReader(path)
    assert reader.read() == []
    _append(path, step(1))
    assert reader.read() == [step(1)]


def test_losses_that_are_no_numbers_survive_the_disk(path: Path) -> None:
    _append(path, step(1, loss=math.nan), step(2, loss=math.inf), step(3, loss=-math.inf))
    losses = [record.loss for record in read_journal(path) if isinstance(record, StepRecord)]
    assert math.isnan(losses[0])
    assert losses[1:] == [math.inf, -math.inf]


def test_a_message_with_newlines_stays_one_line(path: Path) -> None:
    alert = AlertRecord(t=1.0, step=1, level="error", code="x", message="one\ntwo\u2028three")
    _append(path, alert)
    assert path.read_bytes().count(b"\n") == 1
    assert read_journal(path) == [alert]


def test_a_reader_gets_each_record_once(path: Path) -> None:
    reader = JournalReader(path)
    _append(path, step(1), step(2))
    assert reader.read() == [step(1), step(2)]
    assert reader.read() == []
    _append(path, step(3))
    assert reader.read() == [step(3)]


def test_a_reader_waits_for_the_end_of_a_line(path: Path) -> None:
    line = step(1).model_dump_json().encode() + b"\n"
    reader = JournalReader(path)
    path.write_bytes(line[:20])
    assert reader.read() == []
    path.write_bytes(line)
    assert reader.read() == [step(1)]
    assert reader.num_damaged_lines == 0


def test_a_bounded_reader_gets_everything_in_several_calls(path: Path) -> None:
    records = [step(number) for number in range(20)]
    _append(path, *records)
    reader = JournalReader(path)
    pieces = []
    while piece := reader.read(limit_bytes=500):
        assert len(piece) < 20
        pieces += piece
    assert pieces == records


def test_a_loop_gives_every_record_and_the_next_loop_those_since(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertd.run.journal._CHUNK_BYTES", 500)
    reader = JournalReader(path)
    assert list(reader) == []
    _append(path, *map(step, range(20)))
    assert list(reader) == [step(number) for number in range(20)]
    assert list(reader) == []
    _append(path, step(20))
    assert list(reader) == [step(20)]


def test_a_loop_goes_past_a_piece_that_is_all_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertd.run.journal._CHUNK_BYTES", 500)
    path.write_bytes(b"not json\n" * 200)
    _append(path, step(1))
    reader = JournalReader(path)
    assert list(reader) == [step(1)]
    assert reader.num_damaged_lines == 200


def test_a_line_longer_than_the_bound_is_read_whole(path: Path) -> None:
    alert = AlertRecord(t=1.0, step=1, level="error", code="x", message="y" * 5000)
    _append(path, alert, step(2))
    reader = JournalReader(path)
    assert reader.read(limit_bytes=100) == [alert]
    assert reader.read() == [step(2)]


def test_the_next_writer_cuts_off_a_torn_last_line(path: Path) -> None:
    _append(path, step(1))
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "t": 1.')
    assert read_journal(path) == [step(1)]
    _append(path, step(2))
    assert read_journal(path) == [step(1), step(2)]
    assert JournalReader(path).num_damaged_lines == 0


def test_a_journal_of_nothing_but_a_torn_line_starts_anew(path: Path) -> None:
    path.write_bytes(b'{"kind": "st')
    _append(path, step(1))
    assert read_journal(path) == [step(1)]


def test_a_torn_line_longer_than_the_search_window_is_cut_off(path: Path) -> None:
    _append(path, step(1))
    with path.open("ab") as file:
        file.write(b"x" * (3 << 20))
    _append(path, step(2))
    assert read_journal(path) == [step(1), step(2)]


def test_a_reader_that_saw_a_torn_line_gets_what_the_next_writer_put_in_its_place(path: Path) -> None:
    reader = JournalReader(path)
    _append(path, step(1))
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "t": 1.')
    assert reader.read() == [step(1)]
    # More bytes than were truncated, so the file is not shorter when the reader reads again.
    _append(path, step(2), step(3))
    assert reader.read() == [step(2), step(3)]
    assert reader.num_damaged_lines == 0


def test_damaged_and_unknown_lines_are_counted_and_skipped(path: Path) -> None:
    _append(path, step(1))
    with path.open("ab") as file:
        file.write(b'not json\n{"kind": "of a newer writer"}\n\xff\xfe\n\n')
    _append(path, step(2))
    reader = JournalReader(path)
    assert reader.read() == [step(1), step(2)]
    assert reader.num_damaged_lines == 4


def test_fields_of_a_newer_writer_are_ignored(path: Path) -> None:
    line = step(1).model_dump_json()
    path.write_text(line[:-1] + ', "gpu_mood": "fine"}\n')
    assert read_journal(path) == [step(1)]


def test_a_validation_of_a_writer_that_knew_no_guess_by_frequency_is_read(path: Path) -> None:
    path.write_text(
        '{"kind":"validation","t":1.0,"step":1,"sequences":8,"charged_s":1.0,"progress":0.1,"loss":6.5,'
        '"num_tokens":9,"unigram_entropy":6.0,"seconds":1.0}\n'
    )
    (record,) = read_journal(path)
    assert isinstance(record, ValidationRecord) and record.loss == 6.5 and math.isnan(record.unigram_loss)


def test_every_kind_but_step_is_on_the_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(path)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    writer.append(step(1))
    assert synced == []
    writer.append(paused(1))
    assert len(synced) == 1


def _writes(share: float) -> Callable[[int, bytes], int]:
    real_write = os.write
    return lambda fd, data: real_write(fd, data[: int(len(data) * share)])


def test_a_full_disk_leaves_whole_lines_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(path)
    writer.append(step(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _writes(0.5))
        with pytest.raises(StorageError, match=r"journal\.jsonl: cannot append: the disk is full; free space"):
            writer.append(step(2))
    assert path.read_bytes().endswith(b"\n")
    writer.append(step(3))
    assert read_journal(path) == [step(1), step(3)]


def test_a_journal_in_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        JournalWriter(tmp_path / "absent" / "journal.jsonl")


def test_a_journal_that_is_a_folder_is_a_run_folder_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot read the journal"):
        read_journal(tmp_path)


@settings(max_examples=60)
@given(data=st.data())
def test_a_reader_at_any_moment_has_exactly_the_whole_lines(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Writers die in the middle of a line and are replaced while one reader follows with any bound."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    reader = JournalReader(path)
    written: list[JournalRecord] = []
    seen: list[JournalRecord] = []
    for number in range(data.draw(st.integers(1, 12), label="actions")):
        match data.draw(st.sampled_from(["append", "tear", "read", "bounded read"])):
            case "append":
                _append(path, step(number))
                written.append(step(number))
            case "tear":
                line = step(number).model_dump_json().encode()
                with path.open("ab") as file:
                    file.write(line[: data.draw(st.integers(1, len(line)))])
                seen += reader.read()
                assert seen == written
                JournalWriter(path).close()
            case "read":
                seen += reader.read()
                assert seen == written
            case _:
                seen += reader.read(limit_bytes=data.draw(st.integers(1, 2000)))
                assert seen == written[: len(seen)]
    while more := reader.read():
        seen += more
    assert seen == written == read_journal(path)
    assert reader.num_damaged_lines == 0


def test_some_steps_are_the_first_in_each_so_many_bytes_and_the_last_with_all_else(path: Path) -> None:
    records = [*SimulatedMachine().run(make_recipe())]
    append_records(path, records)
    expected: list[JournalRecord] = []
    for is_step, group in groupby(records, key=lambda each: isinstance(each, StepRecord)):
        members, next_place, place = [*group], 0, 0
        for number, member in enumerate(members):
            if not is_step or place >= next_place or number == len(members) - 1:
                expected.append(member)
                next_place = place + 3000
            place += len(member.model_dump_json()) + 1
    read = [*JournalReader(path, step_bytes=3000)]
    # As text, since a NaN is not equal to itself.
    assert [each.model_dump_json() for each in read] == [each.model_dump_json() for each in expected]
    assert 10 < len(read) < len(records) / 5


OTHER = b'{"kind":"unknown"}'
TORN = b'{"kind":"step","torn'


@given(lines=st.lists(st.sampled_from([b"step", TORN, OTHER, b""]), min_size=1, max_size=12))
def test_chosen_lines_are_those_that_a_look_at_each_would_choose(lines: list[bytes]) -> None:
    numbered = [b'{"kind":"step","step":%d}' % number if line == b"step" else line for number, line in enumerate(lines)]

    def is_whole(line: bytes) -> bool:
        return line.endswith(b"}")

    expected: list[bytes] = []
    for is_step, group in groupby(numbered, key=lambda line: line.startswith(STEP_PREFIX)):
        members = [*group]
        whole = [line for line in members if is_whole(line)]
        expected += members if not is_step else [whole[0], *whole[1:][-1:]] if whole else members[:1]
    assert [*without_inner_steps(b"\n".join(numbered), is_whole=is_whole)] == expected
    assert [*with_some_steps(b"\n".join(numbered), every_bytes=1)] == numbered
