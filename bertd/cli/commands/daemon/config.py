"""`bertd config`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bertd.cli.options import JsonOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from bertd.api.models import ConfigurationKeyView


def config(socket: SocketOption = None, json: JsonOption = False) -> None:
    """Show each key of the daemon's configuration, its value, and the file, variable or option that sets it.

    Without a daemon: what `bertd start` of this user would have. SIGHUP has a daemon read the files again.

    Raises:
        DaemonUnreachableError: no daemon listens on the socket that was given.
    """
    from bertd.errors import DaemonUnreachableError

    try:
        keys = connect(socket).configuration()
    except DaemonUnreachableError:
        if socket is not None:
            raise
        print("no daemon answers; this is what `bertd start` would have", file=sys.stderr)
        keys = _keys_of_a_start()
    if json:
        print_json([*keys])
        return
    from bertd.cli.output.configuration_table import configuration_table
    from bertd.cli.output.tables import detect_output_style

    print(configuration_table(keys, style=detect_output_style()))


def _keys_of_a_start() -> list[ConfigurationKeyView]:
    from bertd.api.models import ConfigurationKeyView
    from bertd.daemon.configuration.sources import default_sources, read_configuration

    loaded = read_configuration(default_sources())
    return [
        ConfigurationKeyView(key=key, value=value, origin=origin, read=value) for key, value, origin in loaded.rows()
    ]
