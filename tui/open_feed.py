"""The feed that the command line names: a socket, other machines, or the simulation. Imports only what it needs."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, cast

from bertd.run.paths import client_socket

if TYPE_CHECKING:
    from tui.snapshot import Feed, Snapshot

LOCAL_NAME = "this machine"
"""Of the daemon at --socket, beside those of other machines."""


def open_feed(args: argparse.Namespace) -> Feed:
    """A feed that is not started yet; of several daemons if several are named."""
    if args.demo:
        from tui.simulated.feed import SimulatedFeed

        return SimulatedFeed()
    from tui.feed import SocketFeed

    if not args.host:
        return SocketFeed(args.socket or client_socket())
    from bertd.api.ssh_forward import SshForward

    forwards = [SshForward(host) for host in dict.fromkeys(args.host)]
    names = Counter(forward.host.name for forward in forwards)
    feeds = {
        f"{one.host.name}:{one.host.socket or ''}" if names[one.host.name] > 1 else one.host.name: SocketFeed(one)
        for one in forwards
    }
    if args.socket is not None:
        feeds = {LOCAL_NAME: SocketFeed(args.socket)} | feeds
    if len(feeds) == 1:
        return next(iter(feeds.values()))
    from tui.fleet import FleetFeed

    return cast("Feed", FleetFeed(feeds))


def fetch_once(args: argparse.Namespace) -> Snapshot:
    """The state as of now, of one daemon.

    Raises:
        BertdError: the daemon does not answer or refuses the request.
    """
    if args.demo:
        return open_feed(args).snapshot()
    from tui.feed import fetch_snapshot

    if not args.host:
        return fetch_snapshot(args.socket or client_socket())
    from bertd.api.ssh_forward import SshForward

    return fetch_snapshot(SshForward(args.host[0]))
