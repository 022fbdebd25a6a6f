"""Admit a job that is a program of bertd: its arguments, its paths and its cores."""

from __future__ import annotations

from pathlib import Path

from bertd.api.models import SubmitPrepare
from bertd.daemon.admission.readable import kind_of, unreadable_message
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import DeviceError, OutputExistsError, SubmissionError
from bertd.run.amounts.quantities import format_count
from bertd.run.paths import is_data_set

_OF_THE_DAEMON = ("--o", "--p")
"""--out and --processes, which the daemon gives, and what argparse takes for them."""
_REPLACE = "--replace"


def require_prepare(request: SubmitPrepare) -> None:
    """Refuse the making of a data set that is known to fail.

    Raises:
        SubmissionError: a path is not absolute, its folder is not there, or an argument is not allowed.
        OutputExistsError: what it would make exists, and is not to be replaced.
    """
    for name, path in (("--out", request.out), ("the folder", request.cwd)):
        if not path.startswith("/"):
            raise SubmissionError(f"{name} {path!r:.300}: not an absolute path; give its whole path")
    if any("\0" in text for text in (*request.arguments, request.out, request.cwd)):
        raise SubmissionError("an argument or a path has a NUL character; leave it out")
    options = request.arguments[: _end_of_options(request.arguments)]
    for text in options:
        if text.startswith(_OF_THE_DAEMON):
            raise SubmissionError(f"{text!r:.100}: is not for `arguments`; give it as `out` or `cpus`")
    try:
        if kind_of(Path(request.cwd)) != "a folder":
            raise SubmissionError(f"{request.cwd}: no such folder; relative paths are looked up there")
        if kind_of(Path(request.out)) == "nothing":
            return
    except OSError as error:
        raise SubmissionError(unreadable_message(request.out, error)) from error
    if not is_data_set(Path(request.out)):
        raise OutputExistsError(f"{request.out}: exists and is not a data set; give another --out")
    if _REPLACE not in options:
        raise OutputExistsError(f"{request.out}: exists; give another --out, or --replace to make it again")


def arguments_of_prepare(request: SubmitPrepare, *, num_processes: int) -> list[str]:
    """All arguments of its program."""
    end = _end_of_options(request.arguments)
    own = [f"--out={request.out}", f"--processes={num_processes}"]
    return [*request.arguments[:end], *own, *request.arguments[end:]]


def own_arguments(arguments: list[str]) -> list[str]:
    """Of all arguments of its program those of a person: what `arguments_of_prepare` has added is left out."""
    end = _end_of_options(arguments)
    return [*arguments[: end - 2], *arguments[end:]]


def _end_of_options(arguments: list[str]) -> int:
    """Where `--` is, after which everything is a source."""
    return arguments.index("--") if "--" in arguments else len(arguments)


def choose_cores(number: int, *, inventory: Inventory) -> int:
    """The cores that were asked for.

    Raises:
        DeviceError: the machine has fewer.
    """
    if number > inventory.cpu_slots:
        there = format_count(inventory.cpu_slots, "core")
        raise DeviceError(f"--cpus {number}: this machine has {there}; give --cpus {inventory.cpu_slots}")
    return number
