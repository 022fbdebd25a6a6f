"""bertd.program: what is printed where, and the exit status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bertd.errors import StorageError
from bertd.program import INTERRUPTED, print_error, run_main


def _raise(error: BaseException) -> int:
    raise error


def test_a_program_ends_with_its_own_status_and_none_is_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert [run_main(lambda: 3), run_main(lambda: None), run_main(lambda: 0)] == [3, 0, 0]
    assert capsys.readouterr() == ("", "")


def test_an_error_is_one_line_on_standard_error_and_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main(lambda: _raise(StorageError("a\x1b[2J\nfull disk"))) == StorageError.exit_code
    assert capsys.readouterr() == ("", "bertd: a\\x1b[2J full disk\n")


def test_a_program_may_have_another_name_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    run_main(lambda: _raise(StorageError("full")), name="bert-tui")
    print_error("full", name="")
    assert capsys.readouterr().err == "bert-tui: full\nfull\n"


def test_ctrl_c_says_what_it_left_where_there_is_something_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(lambda: _raise(KeyboardInterrupt())) == INTERRUPTED
    assert capsys.readouterr() == ("", "")
    assert run_main(lambda: _raise(KeyboardInterrupt()), interrupted="nothing was written") == INTERRUPTED
    assert capsys.readouterr() == ("", "nothing was written\n")


def test_a_fault_of_bertd_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 // 0)


@pytest.mark.parametrize(
    ("size", "status"),
    [(10, 0), (1 << 20, 1)],
    ids=["noticed at the last flush", "noticed while it prints"],
)
def test_a_reader_that_has_left_is_not_worth_a_word(size: int, status: int) -> None:
    code = f"import sys; from bertd.program import run_main; sys.exit(run_main(lambda: print('x' * {size})))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        stdout=write_end,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        check=False,
    )
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (status, b"")
