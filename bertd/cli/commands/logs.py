"""`bertd logs`: print a job's log, follow it, and read it from the disk while no daemon answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_past_time
from bertd.cli.options import JobArgument, JsonOption, SocketOption, connect, parse_past_time

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import JobView, LogView

    ReadPage = Callable[[int], LogView]
    """Reads the piece of a log from a byte on; a negative one counts from the end."""

_POLL_S = 0.5
"""Seconds between two reads of `logs -f`."""
_PIECE_BYTES = 256 * 1024
_TAIL_CHARACTERS = 2048
"""How much of what was printed is looked for in a log that was cut."""


@dataclass
class _Position:
    """How far a log is printed."""

    offset: int = 0
    size: int = 0
    """Of the log, when it was read last."""
    tail: str = ""
    """The end of what was printed."""

    def move_past(self, piece: LogView) -> None:
        self.offset, self.size = piece.next_offset, piece.size
        self.tail = (self.tail + piece.text)[-_TAIL_CHARACTERS:]


def logs(
    id: JobArgument = "@",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job is over.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, metavar="N", help="Begin with the last N lines.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="What was written from then on: 10min or '2h ago', 22:00 (the last time), 2026-12-01T08:00.",
            autocompletion=complete_past_time,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="What was written before then, and up to a second more.",
            autocompletion=complete_past_time,
        ),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Print a job's log; control characters in it are shown as escapes."""
    since_t = None if since is None else parse_past_time(since, option="--since")
    until_t = None if until is None else parse_past_time(until, option="--until")
    _check_times(since_t, until_t, follow=follow, lines=lines)
    client = connect(socket)
    job = client.job(id)
    read_page = _read_from_daemon(client, job, until_t=until_t)
    position = _Position()
    if since_t is not None:
        piece = client.log_between(job.id, since_t=since_t, until_t=until_t, limit=_PIECE_BYTES)
        _print_piece(piece, json=json)
        position.move_past(piece)
    elif lines is not None:
        position.move_past(_print_tail(read_page, num_lines=lines, json=json))
    _print_rest(read_page, position, json=json)
    if follow:
        _follow(client, job, position, json=json)


def _check_times(since_t: float | None, until_t: float | None, *, follow: bool, lines: int | None) -> None:
    """Refuse what cannot be meant.

    Raises:
        BadParameter: the times exclude each other, or another option.
    """
    if since_t is not None and until_t is not None and since_t >= until_t:
        raise typer.BadParameter("--since is not before --until")
    if until_t is not None and follow:
        raise typer.BadParameter("--follow continues until the job is over; leave out --until")
    if lines is not None and (since_t is not None or until_t is not None):
        raise typer.BadParameter("--lines counts from the end of the log; leave it out, or --since and --until")


def _follow(client: Client, job: JobView, position: _Position, *, json: bool) -> None:
    """Print what is appended, until the job is over; from the disk while no daemon answers.

    Raises:
        DaemonUnreachableError: no daemon answers, and the log cannot be read here.
    """
    from bertd.cli.commands.wait import is_over
    from bertd.errors import DaemonUnreachableError
    from bertd.program import print_error
    from bertd.run.paths import JobPaths

    paths = JobPaths(Path(job.folder))
    is_lost = False
    while True:
        # Request the state before the log: what is written until the state is final is then always read.
        try:
            was_over = is_over(client.job(job.id))
            _print_rest(_read_from_daemon(client, job), position, json=json)
            is_lost = False
        except DaemonUnreachableError as error:
            if not paths.log.exists():
                raise
            if not is_lost:
                print_error(f"{error}; until it is back the log is read from {paths.log}")
            is_lost = True
            was_over = paths.outcome.exists()
            _print_rest(_read_from_disk(paths.log), position, json=json)
        if was_over:
            return
        time.sleep(_POLL_S)


def _read_from_daemon(client: Client, job: JobView, *, until_t: float | None = None) -> ReadPage:
    return lambda offset: client.log(job.id, offset=offset, limit=_PIECE_BYTES, until_t=until_t)


def _read_from_disk(path: Path) -> ReadPage:
    from bertd.daemon.api.job_log import read_log_page

    return lambda offset: read_log_page(path, offset=offset, limit=_PIECE_BYTES)


def _print_tail(read_page: ReadPage, *, num_lines: int, json: bool) -> LogView:
    """Print the last lines, as many as the last piece of the log has at most; return that piece."""
    piece = read_page(-_PIECE_BYTES)
    kept = piece.text.splitlines(keepends=True)[-num_lines:] if num_lines else []
    text = "".join(kept)
    offset = piece.next_offset - len(text.encode())
    _print_piece(piece.model_copy(update={"text": text, "offset": offset}), json=json)
    return piece


def _print_rest(read_page: ReadPage, position: _Position, *, json: bool) -> None:
    """Print from the position to the current end, and move it there.

    A log that became shorter was cut by its runner: what was printed of it is looked for in what is left.
    """
    while True:
        piece = read_page(position.offset)
        if piece.size < position.size:
            position.offset, position.size = _find_end_of(position.tail, read_page), piece.size
            continue
        begin = position.offset
        _print_piece(piece, json=json)
        position.move_past(piece)
        if piece.next_offset <= begin or piece.next_offset >= piece.size:
            return


def _find_end_of(text: str, read_page: ReadPage) -> int:
    """The byte after the first place in a log that has `text`; 0 if none has it, since then all of the log is later."""
    before, offset = "", 0
    while True:
        piece = read_page(offset)
        seen = before + piece.text
        if text and (place := seen.find(text)) >= 0:
            return piece.next_offset - len(seen[place + len(text) :].encode())
        if piece.next_offset <= offset or piece.next_offset >= piece.size:
            return 0
        before, offset = seen[-len(text) :], piece.next_offset


def _print_piece(piece: LogView, *, json: bool) -> None:
    from bertd.cli.options import print_json
    from bertd.terminal_text import terminal_text

    if not piece.text:
        return
    if json:
        print_json(piece)
    else:
        sys.stdout.write(terminal_text(piece.text))
    sys.stdout.flush()
