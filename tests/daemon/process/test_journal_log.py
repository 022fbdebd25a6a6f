"""bertd.daemon.process.journal_log: what the journal gets, only where standard error leads there."""

from __future__ import annotations

import io
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.daemon.process.journal_log import JournalHandler, encode_entry, is_journal, log_fields
from bertd.daemon.process.log_format import RepeatFilter, SafeFormatter


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A datagram socket where journald's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "journal"))
        receiver.setblocking(False)
        yield receiver


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(tmp_path: Path, stream: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.Logger("daemon")  # noqa: LOG001  # not of the tree, so that no other handler gets its records
    handler = JournalHandler(stream, path=tmp_path / "journal")
    handler.addFilter(RepeatFilter())
    handler.setFormatter(SafeFormatter())
    logger.addHandler(handler)
    yield logger
    handler.close()


def decode(entry: bytes) -> dict[str, str]:
    """As journald reads an entry."""
    fields = {}
    while entry:
        line, _, entry = entry.partition(b"\n")
        key, is_short, value = line.partition(b"=")
        if not is_short:
            length = int.from_bytes(entry[:8], "little")
            value, entry = entry[8 : 8 + length], entry[8 + length + 1 :]
        fields[key.decode()] = value.decode()
    return fields


def test_a_record_of_a_job_has_its_job_and_run(
    journal: socket.socket, logger: logging.Logger, stream: io.StringIO
) -> None:
    logger.error("job %d is lost: %s", 7, "größe\nRUN=forged", extra=log_fields(7, "7-demo"))
    fields = decode(journal.recv(1 << 16))
    assert fields["MESSAGE"] == "ERROR job 7 is lost: größe RUN=forged"
    assert (fields["JOB"], fields["RUN"], fields["PRIORITY"]) == ("7", "7-demo", "3")
    assert (fields["SYSLOG_IDENTIFIER"], fields["LOGGER"]) == ("bertd", "daemon")
    assert stream.getvalue() == ""


def test_a_record_of_no_job_has_neither(journal: socket.socket, logger: logging.Logger) -> None:
    logger.info("listening")
    fields = decode(journal.recv(1 << 16))
    assert fields["PRIORITY"] == "6" and not {"JOB", "RUN"} & fields.keys()


def test_a_traceback_is_one_entry(journal: socket.socket, logger: logging.Logger) -> None:
    try:
        raise ValueError("first\nJOB=8\nsecond")
    except ValueError:
        logger.exception("a request failed")
    fields = decode(journal.recv(1 << 16))
    assert fields["MESSAGE"].startswith("ERROR a request failed\nTraceback") and fields["MESSAGE"].endswith("second")
    assert "JOB" not in fields


def test_a_value_of_several_lines_has_its_length_before_it() -> None:
    assert encode_entry({"A": "x=y", "B": "1\n2"}) == b"A=x=y\nB\n\x03\0\0\0\0\0\0\x001\n2\n"


def test_what_a_full_or_missing_journal_does_not_accept_is_written_to_the_stream(
    journal: socket.socket, logger: logging.Logger, stream: io.StringIO, tmp_path: Path
) -> None:
    sent = 0
    while not stream.getvalue():
        logger.info(f"line {sent}")  # noqa: G004  # a message of its own each time, for the filter of repeats
        sent += 1
        assert sent < 100_000
    assert stream.getvalue() == f"INFO line {sent - 1}\n"
    (tmp_path / "journal").unlink()
    logger.info("after it")
    assert stream.getvalue().endswith("INFO after it\n")


def test_an_entry_that_is_too_large_for_a_datagram_is_written_to_the_stream(
    journal: socket.socket, logger: logging.Logger, stream: io.StringIO
) -> None:
    logger.info("x" * (8 << 20))
    assert len(stream.getvalue()) > 8 << 20


def test_only_a_stream_that_is_the_journals_is_taken_for_it(tmp_path: Path, stream: io.StringIO) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        assert is_journal(file, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not is_journal(file, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(file, {"JOURNAL_STREAM": "garbage"}) and not is_journal(file, {})
    assert not is_journal(stream, {"JOURNAL_STREAM": "1:2"}) and not is_journal(file, {"JOURNAL_STREAM": "1:2"})
