"""Handle one key after another, and tell typed keys from pasted ones.

Textual forwards a key to the widget that has the focus when the key arrives. So of keys that come together, as text
typed ahead over a slow connection does, those after the one that opens a dialog never reach the dialog. Here a key
waits until the one before it is done, with all that it opened.

A terminal without bracketed paste sends a pasted text as keys, all at once. A key that acts is therefore refused if
another character arrives within BURST_S before or after it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from textual import events

BURST_S = 0.02
"""Seconds. Keys closer to each other were not typed: a fast typist needs 0.05 s, one read of a terminal under 0.005."""
STUCK_S = 1.0
"""A key waits no longer for the one before it, whatever became of that: the keyboard never freezes."""


@dataclass
class _WaitingKey:
    key: events.Key
    is_in_burst: bool
    """Whether it has a neighbour in the same burst."""


class KeyQueue:
    """Keys in the order of their arrival; the caller says when one is done."""

    def __init__(
        self,
        *,
        is_guarded: Callable[[events.Key], bool],
        handle: Callable[[events.Key, int], Awaitable[None]],
        refuse: Callable[[events.Key], None],
        later: Callable[[float, Callable[[], Awaitable[None]]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is called before the first key.

        Args:
            is_guarded: whether the key would act now.
            handle: dispatches the key of this number; `finish` is called with the number when it is done.
            refuse: gets a guarded key of a burst, which is dropped.
            later: calls back after so many seconds.
            clock: seconds, as in `later`.
        """
        self._is_guarded = is_guarded
        self._handle = handle
        self._refuse = refuse
        self._later = later
        self._clock = clock
        self._waiting: deque[_WaitingKey] = deque()
        self._is_busy = False
        self._number = 0
        """Of the key that is being handled; a key that was given up may still finish, and must not begin another."""
        self._begun_t = 0.0
        """When the key that is being handled was begun."""
        self._newest: _WaitingKey | None = None
        """The newest character that arrived."""

    async def put(self, key: events.Key) -> None:
        """A key has arrived."""
        arrived, before = _WaitingKey(key, is_in_burst=False), self._newest
        if is_character(key):
            if before is not None and key.time - before.key.time < BURST_S:
                # A key that is held down is sent several times: those belong to a burst only if the first one does.
                arrived.is_in_burst = key.key != before.key.key or before.is_in_burst
                before.is_in_burst = arrived.is_in_burst
            self._newest = arrived
        self._waiting.append(arrived)
        if not self._is_busy or self._clock() - self._begun_t > STUCK_S:
            await self._begin_next()

    async def finish(self, number: int) -> None:
        """The key of this number is done: begin with the next one, unless that was done already."""
        if number == self._number:
            await self._begin_next()

    async def _begin_next(self) -> None:
        self._is_busy = bool(self._waiting)
        if not self._is_busy:
            return
        self._number += 1
        self._begun_t = self._clock()
        if self._is_guarded(self._waiting[0].key):
            self._later(BURST_S, partial(self._decide, self._number))
        else:
            await self._handle(self._waiting.popleft().key, self._number)

    async def _decide(self, number: int) -> None:
        """Handle or refuse a guarded key, now that the others of its burst have arrived."""
        if number != self._number or not self._waiting:
            return
        first = self._waiting.popleft()
        if first.is_in_burst:
            self._refuse(first.key)
            await self._begin_next()
        else:
            await self._handle(first.key, number)


def is_character(key: events.Key) -> bool:
    """Whether a pasted text can hold it: a printable character or the end of a line."""
    return key.is_printable or key.key in ("enter", "ctrl+j", "tab")
