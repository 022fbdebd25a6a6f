"""bertd.daemon.process.log_format: a line is safe and one line, and the same message is not written without end."""

from __future__ import annotations

import io
import logging

import pytest

from bertd.daemon.process.log_format import RepeatFilter, SafeFormatter


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(output: io.StringIO) -> logging.Logger:
    logger = logging.Logger("daemon")  # noqa: LOG001  # not of the tree, so that no other handler gets its records
    handler = logging.StreamHandler(output)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(SafeFormatter())
    logger.addHandler(handler)
    return logger


def test_what_a_message_quotes_stays_on_its_line_and_cannot_command_a_terminal(
    logger: logging.Logger, output: io.StringIO
) -> None:
    logger.warning("process %s", "\x1b[2J\nWARNING forged\r\u202e")
    assert output.getvalue() == "WARNING process \\x1b[2J WARNING forged\\x0d\\u202e\n"


def test_a_traceback_is_written_in_lines_and_escaped(logger: logging.Logger, output: io.StringIO) -> None:
    try:
        raise ValueError("\x1b]0;title\x07")
    except ValueError:
        logger.exception("a request failed")
    lines = output.getvalue().splitlines()
    assert lines[0] == "ERROR a request failed" and len(lines) > 3
    assert lines[-1] == "ValueError: \\x1b]0;title\\x07"


def test_of_one_message_a_bounded_number_is_written_whatever_its_values(
    logger: logging.Logger, output: io.StringIO
) -> None:
    for number in range(5_000):
        logger.warning("request %d is not HTTP", number)
    assert len(output.getvalue().splitlines()) == 30
    logger.warning("another message")
    assert output.getvalue().endswith("WARNING another message\n")


def test_of_tracebacks_fewer_are_written(logger: logging.Logger, output: io.StringIO) -> None:
    for _ in range(100):
        try:
            raise ValueError("x")
        except ValueError:
            logger.exception("a request failed")
    assert output.getvalue().count("Traceback") == 3


def test_the_next_minute_says_how_many_lines_were_left_out() -> None:
    filter = RepeatFilter()

    def record(at_t: float) -> logging.LogRecord:
        record = logging.LogRecord("daemon", logging.WARNING, "", 0, "request %d", (1,), None)
        record.created = at_t
        return record

    kept = [each for each in (record(1_000.0 + second) for second in range(50)) if filter.filter(each)]
    assert len(kept) == 30
    later = record(1_060.0)
    assert filter.filter(later)
    assert later.getMessage() == "request 1 (before it 20 lines like earlier ones were left out)"
    assert filter.filter(last := record(1_061.0)) and last.getMessage() == "request 1"
