"""Handle one key after another, and tell typed keys from pasted ones.

Textual forwards a key to the widget that has the focus when the key arrives. So of keys that come together, as text
typed ahead over a slow connection does, those after the one that opens a dialog never reach the dialog. Here a key
waits until the one before it is done, with all that it opened.

A terminal without bracketed paste sends a pasted text as keys, all at once. A key that acts is therefore refused if
another character arrives within BURST_S before or after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from textual import events

BURST_S = 0.02
"""Seconds. Keys closer to each other were not typed: a fast typist needs 0.05 s, one read of a terminal under 0.005."""
TICK_S = 0.1
STUCK_TICKS = 10
"""A key waits no longer for the one before it, whatever became of that: the keyboard never freezes. Ticks of the app's
timer, not a time: on a busy machine a dialog may need seconds to open, in which the timer does not tick either, and a
key that overtook it would act on the view below."""


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
    ) -> None:
        """Nothing is called before the first key.

        Args:
            is_guarded: whether the key would act now.
            handle: dispatches the key of this number; `finish` is called with the number when it is done.
            refuse: gets a guarded key of a burst, which is dropped.
            later: calls back after so many seconds.
        """
        self._is_guarded = is_guarded
        self._handle = handle
        self._refuse = refuse
        self._later = later
        self._waiting: deque[_WaitingKey] = deque()
        self._is_busy = False
        self._number = 0
        """Of the key that is being handled; a key that was given up may still finish, and must not begin another."""
        self._is_stuck = False
        """Whether the key that is being handled has taken too long."""
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
        if not self._is_busy or self._is_stuck:
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
        self._is_stuck = False
        self._later(TICK_S, partial(self._tick, self._number, 1))
        if self._is_guarded(self._waiting[0].key):
            self._later(BURST_S, partial(self._decide, self._number))
        else:
            await self._handle(self._waiting.popleft().key, self._number)

    async def _tick(self, number: int, num_ticks: int) -> None:
        """Count how long the key of this number takes; give it up at last, and begin with the one that waits."""
        if number != self._number or not self._is_busy:
            return
        if num_ticks < STUCK_TICKS:
            self._later(TICK_S, partial(self._tick, number, num_ticks + 1))
            return
        self._is_stuck = True
        if self._waiting:
            await self._begin_next()

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
