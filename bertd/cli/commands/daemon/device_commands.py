"""Subcommands about devices: devices, drain, undrain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_device
from bertd.cli.options import JsonOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from bertd.api.models import DeviceView

DevicesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="DEVICE",
        help="Its number in `bertd devices`, its UUID or a beginning of that, or cpu.",
        autocompletion=complete_device,
        show_default=False,
    ),
]


def devices(socket: SocketOption = None, json: JsonOption = False) -> None:
    """List the GPUs, or the CPU: load, memory, temperature, power, jobs, other users, faults; and the machine."""
    client = connect(socket)
    if json:
        print_json([*client.devices()])
        return
    from bertd.cli.output.pages import devices_page

    print(devices_page(client.status()))


def drain(names: DevicesArgument, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Take devices out of service: they start no more jobs, and the jobs that have them keep them to their end."""
    _act_on_each(names, connect(socket).drain, json=json)


def undrain(names: DevicesArgument, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Start jobs on devices again."""
    _act_on_each(names, connect(socket).undrain, json=json)


def _act_on_each(names: list[str], act: Callable[[str], DeviceView], *, json: bool) -> None:
    from bertd.cli.output.device_table import device_line

    for name in names:
        device = act(name)
        if json:
            print_json(device)
        else:
            print(device_line(device))
