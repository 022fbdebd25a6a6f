"""The names of users and who of them are operators: looked up by threads, since a directory such as LDAP takes seconds.

A request waits for the account of its own peer alone, and others go on. What was found is kept for a minute. If the
directory does not answer in time, what it said last is used; a user that it never told of may only read.
"""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from bertd.jobs.store.audit import Peer
from bertd.run.machine.trusted_folders import is_root_or_own

logger = logging.getLogger(__name__)

OPERATORS_GROUP = "bertd-operators"
KEPT_S = 60.0
LOOK_UP_LIMIT_S = 5.0
"""Longest that a request waits for the directory."""
_MAX_KEPT = 10_000


@dataclass(frozen=True)
class Account:
    """What the machine says of a user."""

    name: str | None = None
    """None where it has no such user, or has not said."""
    is_member: bool = False
    """Of the group of operators."""


def find_account(uid: int, gid: int | None) -> Account:
    """Ask the machine, which may take long.

    Args:
        uid: of the user.
        gid: primary group of the process that asks; None if it does not matter whether the user is an operator.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return Account()
    if gid is None:
        return Account(name)
    try:
        return Account(name, is_member=grp.getgrnam(OPERATORS_GROUP).gr_gid in os.getgrouplist(name, gid))
    except (KeyError, OSError):
        return Account(name)


_Key = tuple[int, int | None]
"""uid, and gid of the peer; None where only the name is wanted."""


class Accounts:
    """Operators may change things: root, the daemon's own user, and the members of a group. Others may only read."""

    def __init__(self, find: Callable[[int, int | None], Account] = find_account) -> None:
        """`find`: a test's own in place of the machine's lists."""
        self._find = find
        self._kept: dict[_Key, tuple[float, Account]] = {}
        """When it was found, and what."""
        self._names: dict[int, str | None] = {}
        self._running: dict[_Key, asyncio.Future[None]] = {}

    def is_operator(self, peer: Peer) -> bool:
        """Whether the peer may change things, as far as `look_up` has found."""
        if is_root_or_own(peer.uid):
            return True
        _, account = self._kept.get((peer.uid, peer.gid), (0.0, Account()))
        return account.is_member

    def name(self, uid: int) -> str | None:
        """The name of a user, as far as it was found."""
        return self._names.get(uid)

    async def look_up(self, peer: Peer) -> None:
        """Find who the peer is; return when that is known, or takes too long."""
        await self._look_up([(peer.uid, peer.gid)])

    async def look_up_names(self, uids: Collection[int]) -> None:
        """Find the names of users; return when they are known, or take too long."""
        await self._look_up([(uid, None) for uid in uids])

    async def _look_up(self, keys: Collection[_Key]) -> None:
        oldest_s = time.monotonic() - KEPT_S
        running = [self._begin(key) for key in keys if key not in self._kept or self._kept[key][0] <= oldest_s]
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=LOOK_UP_LIMIT_S)
        if late:
            logger.warning("the machine's lists of users did not answer within %.0f s", LOOK_UP_LIMIT_S)

    def _begin(self, key: _Key) -> asyncio.Future[None]:
        """One look-up of a user at a time: a directory that does not answer holds one thread for each."""
        loop, running = asyncio.get_running_loop(), self._running.get(key)
        if running is not None and running.get_loop() is loop:
            return running
        self._running[key] = found = loop.create_future()

        def work() -> None:
            account = self._find(*key)
            try:
                loop.call_soon_threadsafe(self._keep, key, account, found)
            except RuntimeError:
                # The daemon has ended meanwhile.
                pass

        # Not of a pool, whose threads the end of the program would wait for.
        threading.Thread(target=work, name="accounts", daemon=True).start()
        return found

    def _keep(self, key: _Key, account: Account, found: asyncio.Future[None]) -> None:
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
            self._names.clear()
        self._kept[key] = (time.monotonic(), account)
        self._names[key[0]] = account.name
        del self._running[key]
        found.set_result(None)


class LookUpOfPeers:
    """Has the account of each request's peer looked up before the request is handled."""

    def __init__(self, app: ASGIApp, *, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await self._accounts.look_up(scope["state"]["peer"])
        await self._app(scope, receive, send)
