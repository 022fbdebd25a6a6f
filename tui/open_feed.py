"""The feed that the command line names: a socket, machines, the simulation or a journal. Imports only what it needs."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, cast

from bertd.run.paths import client_socket

if TYPE_CHECKING:
    from tui.replay.feed import ReplayFeed
    from tui.snapshot import Feed, Snapshot

LOCAL_NAME = "this machine"
"""Of the daemon at --socket, beside those of other machines."""


def open_feed(args: argparse.Namespace) -> Feed:
    """A feed that is not started yet; of several daemons if several are named."""
    if args.demo:
        from tui.simulated.feed import SimulatedFeed

        return SimulatedFeed()
    if args.replay is not None:
        return open_replay(args)
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


def open_replay(args: argparse.Namespace) -> ReplayFeed:
    """The feed of a run's journal, not started yet.

    Raises:
        RunFolderError: there is no journal, it cannot be read, or it has no step.
        RecipeError: the recipe next to it is missing or damaged.
    """
    from tui.replay.feed import ReplayFeed
    from tui.replay.playback import Playback
    from tui.replay.recorded_run import find_end, open_recorded_run

    run = open_recorded_run(args.replay)
    end_t = find_end(run.journal)
    playback = Playback(begin_t=run.begin_t, end_t=run.begin_t if end_t is None else end_t, speed=args.speed)
    return ReplayFeed(run, playback)


def fetch_once(args: argparse.Namespace) -> Snapshot:
    """The state as of now, of one daemon.

    Raises:
        BertdError: the daemon does not answer or refuses the request.
    """
    if args.demo:
        return open_feed(args).snapshot()
    if args.replay is not None:
        feed = open_replay(args)
        feed.playback.jump(1.0)
        feed.catch_up()
        return feed.snapshot()
    from tui.feed import fetch_snapshot

    if not args.host:
        return fetch_snapshot(args.socket or client_socket())
    from bertd.api.ssh_forward import SshForward

    return fetch_snapshot(SshForward(args.host[0]))
