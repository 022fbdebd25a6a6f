"""`bertd join`: give this machine to a run of another one."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.options import parse_time

_LOOK_S = 1.0
_CONNECT_S = 5.0
_SSH_S = 10.0


def join(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RUN@HOST|HOST:PORT",
            help="A run of the daemon of another machine, which is asked over ssh; or where it meets the others.",
            show_default=False,
        ),
    ],
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=1,
            max=65_535,
            help="In place of :PORT, as for an IPv6 address.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="The data set on this machine. By default at the same path as on the other.",
            show_default=False,
        ),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="FOLDER",
            help="For the checkpoint that an attempt begins with. By default the temporary folder.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="TIME", help="How long to wait for a run that nobody trains.")
    ] = "10min",
    once: Annotated[bool, typer.Option("--once", help="Take part in one attempt, not in those after it.")] = False,
) -> None:
    """Give this machine to a run over several machines, until the run is over (docs/multi-node.md).

    The run's folder stays on the first machine. After a pause or a failure there it waits for the next attempt.

    Raises:
        BadParameter: no port is named.
        DeviceError: nobody trains such a run there.
        Exit: this machine was refused.
    """
    from bertd.errors import DeviceError
    from bertd.run.ranks.join_status import JOIN_AGAIN

    wait_s = parse_time(wait, option="--wait")
    meeting = _find_meeting(place, port=port)
    deadline_s = time.monotonic() + wait_s
    while True:
        if _listens(meeting):
            code = _take_part(meeting, data=data, scratch=scratch)
            if code != JOIN_AGAIN:
                raise typer.Exit(code)
            if once:
                return
            deadline_s = time.monotonic() + wait_s
        elif time.monotonic() > deadline_s:
            raise DeviceError(
                f"{meeting.host}:{meeting.port}: no run waits there; start or resume it, with [devices] nodes, or "
                "give a longer --wait"
            )
        time.sleep(_LOOK_S)


@dataclass(frozen=True)
class _Meeting:
    host: str
    port: int
    run_id: str | None = None


def _find_meeting(place: str, *, port: int | None) -> _Meeting:
    """Where the machines meet.

    Raises:
        BadParameter: no port is named.
    """
    run, at, host = place.partition("@")
    if at:
        return _ask_daemon(run, host, port=port)
    host, colon, number = place.rpartition(":")
    if port is not None:
        return _Meeting(place.strip("[]"), port)
    if not colon or not number.isdecimal() or not 0 < int(number) < 65_536 or not host:
        raise typer.BadParameter(f"{place!r}: give RUN@HOST, or HOST:PORT such as first:29400")
    return _Meeting(host.strip("[]"), int(number))


def _ask_daemon(run: str, destination: str, *, port: int | None) -> _Meeting:
    """The port and the id of a run of another machine's daemon.

    Raises:
        BadParameter: it is no run over several machines, or its host is not one.
    """
    from bertd.api.client import Client
    from bertd.api.ssh_forward import SshForward, parse_host
    from bertd.run.recipe.load import parse_recipe

    try:
        host = parse_host(destination)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with SshForward(host) as forward:
        forward.open()
        view = Client(forward.socket).recipe(run)
    devices = parse_recipe(view.toml, name=view.run_id).devices
    if devices.nodes == 1:
        raise typer.BadParameter(f"{run} is a run of one machine; its recipe has no [devices] nodes")
    return _Meeting(_find_address(host.destination), port or devices.port, view.run_id)


def _find_address(destination: str) -> str:
    """The name or address by which ssh connects: a destination may be an alias of its configuration."""
    done = subprocess.run(["ssh", "-G", destination], capture_output=True, text=True, check=False, timeout=_SSH_S)
    words = (line.split(" ", 1) for line in done.stdout.splitlines())
    found = next((word[1] for word in words if word[0] == "hostname" and len(word) == 2), "")
    return found or destination.rpartition("@")[2]


def _listens(meeting: _Meeting) -> bool:
    try:
        socket.create_connection((meeting.host, meeting.port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def _take_part(meeting: _Meeting, *, data: Path | None, scratch: Path | None) -> int:
    from bertd.run.machine.child_processes import start_child

    command = [sys.executable, "-m", "bertd.train.distributed.nodes.join", meeting.host, "--port", str(meeting.port)]
    for option, value in (("--data", data), ("--scratch", scratch), ("--run", meeting.run_id)):
        if value is not None:
            command += [option, str(value)]
    child: subprocess.Popen[bytes] = start_child(command)
    try:
        return child.wait()
    finally:
        child.kill()
        child.wait()
