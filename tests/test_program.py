"""bertd.program: what is printed where, and the exit status."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bertd.errors import DeviceMemoryError, StorageError
from bertd.program import INTERNAL_FAULT, INTERRUPTED, loading_libraries, print_error, run_main
from bertd.terminal_text import terminal_text
from tests.waiting import PATIENCE_S


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


def test_a_fault_of_bertd_keeps_its_traceback_in_a_file_or_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_main(lambda: 1 // 0) == INTERNAL_FAULT
    said = capsys.readouterr().err
    assert said.startswith("bertd: internal error: ZeroDivisionError: ") and said.count("\n") == 1
    assert "Traceback" in Path(said.split()[-1]).read_text()
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 // 0, is_logged=True)


def test_what_the_system_refuses_is_no_fault_of_bertd(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_main(lambda: print((tmp_path / ("x" * 300)).exists())) == StorageError.exit_code
    said = capsys.readouterr().err
    assert said.endswith("xxx: File name too long; check the path, its permissions and the free space\n")
    assert run_main(lambda: _raise(MemoryError())) == DeviceMemoryError.exit_code
    assert capsys.readouterr().err.startswith("bertd: the machine's memory is too small")


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


def _shell(script: str, *, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run bash, where $RUN is the command `python -m bertd`."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "", "RUN": f"{sys.executable} -m bertd", **variables}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


_CODE = "import sys; from bertd.program import run_main; sys.exit(run_main(lambda: print({text})))"
_COMMANDS = (
    "$RUN --help",
    "$RUN data --help",
    "$RUN data prepare --help",
    "$RUN data vocab --help",
    "$RUN data inspect --help",
    "$RUN data verify --help",
    "$RUN data fetch --help",
    "$RUN bench --help",
    "$RUN prove --help",
    "$RUN export --help",
)


@pytest.mark.parametrize(
    ("command", "redirection", "reason"),
    [
        *((command, "> /dev/full", "No space left on device") for command in _COMMANDS),
        *((command, ">&-", "Bad file descriptor") for command in _COMMANDS[::3]),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line_and_the_status_of_a_disk(
    command: str, redirection: str, reason: str, tmp_path: Path
) -> None:
    ended = _shell(f"{command} {redirection}", folder=tmp_path)
    said = f"bertd: standard output: cannot write: {reason}; free space there, or send the output elsewhere\n"
    assert (ended.returncode, ended.stderr) == (StorageError.exit_code, said)


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-"])
def test_messages_that_cannot_be_written_end_nothing_and_go_nowhere_else(redirection: str, tmp_path: Path) -> None:
    code = (
        "import sys; from bertd.program import run_main; "
        "sys.exit(run_main(lambda: print('message', file=sys.stderr) or print('output')))"
    )
    ended = _shell(f'{sys.executable} -c "{code}" {redirection}', folder=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "output\n", "")
    assert _shell(f"$RUN data verify nothing {redirection}", folder=tmp_path, BERTD_DATA=str(tmp_path)).returncode == 65


def test_closed_descriptors_are_not_given_to_files(tmp_path: Path) -> None:
    code = (
        "import os, sys; from bertd.program import run_main; "
        "sys.exit(run_main(lambda: print(os.open('mine', os.O_CREAT | os.O_WRONLY) > 2 or 1 / 0)))"
    )
    ended = _shell(f'{sys.executable} -c "{code}" <&- >&- 2>&-', folder=tmp_path)
    assert ended.returncode == StorageError.exit_code
    assert (tmp_path / "mine").read_bytes() == b""


def test_a_closed_output_is_as_closed_to_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from bertd.program import run_main; "
        "sys.exit(run_main(lambda: subprocess.run(['sh', '-c', 'test -e /dev/fd/1']).returncode))"
    )
    ended = _shell(f'{sys.executable} -c "{code}" >&-', folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_program_that_ends_with_a_message_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(lambda: _raise(SystemExit("no such thing"))) == 1
    assert capsys.readouterr().err == "bertd: no such thing\n"


def test_a_character_that_the_encoding_lacks_is_an_escape(tmp_path: Path) -> None:
    code = _CODE.format(text="chr(246) + chr(0xdcff)")
    ended = _shell(f'{sys.executable} -c "{code}"', folder=tmp_path, PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout) == (0, "\\xf6\\udcff\n")


@pytest.mark.parametrize(
    "command",
    [
        "$RUN status",
        "$RUN data verify ./x",
        "$RUN data vocab ./a.txt --out v",
        "$RUN data prepare a --vocab v --out o/",
    ],
)
def test_a_deleted_working_folder_is_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    ended = _shell(
        f"cd gone && rmdir ../gone && {command}",
        folder=tmp_path,
        PYTHONPATH=str(Path(__file__).parent.parent),
        BERTD_SOCKET="d.sock",
    )
    assert ended.returncode in (1, 65, 69)
    assert ended.stderr.count("\n") == 1 and ended.stderr.startswith("bertd: ")


@pytest.mark.parametrize(
    "command",
    [
        "$RUN data prepare a.txt --vocab v --out ./{name}",
        "$RUN data prepare {name} --vocab v --out ./o",
        "$RUN data prepare a.txt --vocab ./{name} --out ./o",
        "$RUN data vocab a.txt --size 300 --out {name}",
        "$RUN data vocab {name} --size 300 --out v",
        "$RUN data inspect {name}",
        "$RUN data verify ./{name}",
        "$RUN export ./{name}",
        "$RUN submit ./{name}.toml",
        "$RUN status --socket {name}",
        "$RUN prove --out {name} --device cpu --tiny",
    ],
)
def test_a_name_that_is_too_long_is_one_line_with_a_documented_status(command: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The lamp burns. The river runs.")
    ended = _shell(command.format(name="x" * 300), folder=tmp_path, PYTHONPATH=str(Path(__file__).parent.parent))
    assert ended.returncode in (2, 65, 69, 74), ended.stderr
    assert ended.stderr.count("\n") == 1 and ended.stderr.startswith("bertd: ")


HOSTILE = "\x1b]52;c;QUFB\x07\x1b[2J\x9b31m\u202e\rlate\x7f"
PROGRAMS = [
    ["bertd.program", "bertd.bench"],
    ["bertd.program", "bertd.data.commands.prepare"],
    ["bertd.program", "bertd.data.commands.vocab"],
    ["bertd.program", "bertd.data.commands.inspect"],
    ["bertd.bench"],
    ["bertd.data.commands.verify"],
    ["bertd.train.distributed.launch"],
    ["bertd.train.distributed.worker"],
    ["bertd.train.checkpoint.export_checkpoint"],
    ["bertd", "status"],
    ["bertd", "submit"],
    ["bertd", "bench"],
    ["tui"],
]


def unsafe_in(output: bytes) -> str:
    """What is left of a program's output without colours and what is safe."""
    text = re.sub("\x1b\\[[0-9;]*m", "", output.decode())
    return "".join(char for char in text if terminal_text(char) != char)


@pytest.mark.parametrize("module", PROGRAMS, ids=" ".join)
@pytest.mark.parametrize("form", ["--{}", "{}"], ids=["option", "argument"])
def test_no_argument_commands_the_terminal_by_way_of_a_message(module: list[str], form: str) -> None:
    command = [sys.executable, "-m", *module, form.format(HOSTILE)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode != 0 and done.stderr
    assert unsafe_in(done.stdout + done.stderr) == ""


def test_a_recipes_text_does_not_command_the_terminal_of_the_bench(tmp_path: Path) -> None:
    recipe = tmp_path / "downloaded.toml"
    escaped = json.dumps(f"/nonexist/{HOSTILE}").replace("\x7f", "\\u007f")
    recipe.write_text(f'[run]\nname = "a"\n[budget]\nsteps = 1\n[devices]\nkind = "cpu"\n[data]\nshards = {escaped}\n')
    command = [sys.executable, "-m", "bertd", "bench", str(recipe)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 65 and b"/nonexist/" in done.stderr
    assert unsafe_in(done.stdout + done.stderr) == ""


def test_a_library_may_move_the_cursor_while_it_draws() -> None:
    program = (
        "import sys; from bertd.program import drawing, run_main\n"
        "def draw():\n"
        "    with drawing(sys.stderr): print('\\r\\x1b[2Kbar', file=sys.stderr)\n"
        "    print('\\r\\x1b[2Ktext', file=sys.stderr)\n"
        "run_main(draw)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr == b"\r\x1b[2Kbar\n\\x0d\\x1b[2Ktext\n"


def test_libraries_load_without_garbage_collection_which_is_back_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    with pytest.raises(ImportError), loading_libraries():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    assert frozen == [False]


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_line_for_standard_error_is_out_before_the_program_ends(variables: dict[str, str]) -> None:
    program = (
        "import os, sys; from bertd.program import run_main; "
        "run_main(lambda: (print('said', file=sys.stderr), os._exit(0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env={**os.environ, **variables}
    )
    assert done.stderr == b"said\n"
