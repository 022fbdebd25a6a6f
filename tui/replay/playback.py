"""The replay's clock: which time of the run is shown, how fast it passes, and the keys that change both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_SPEED = 60.0
MIN_SPEED, MAX_SPEED = 1.0, 86_400.0


@dataclass(frozen=True)
class PlaybackState:
    """What the header says of a replay."""

    speed: float
    """Seconds of the run in a second."""
    is_paused: bool
    is_at_end: bool
    """All of the journal is shown."""


class Playback:
    """Passes from `begin_t` to the end of the journal; each method may be called in any thread."""

    def __init__(
        self, *, begin_t: float, end_t: float, speed: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin at `begin_t`; both times are in Unix seconds of the run."""
        self._clock = clock
        self._lock = threading.Lock()
        self._begin_t, self._end_t = begin_t, max(begin_t, end_t)
        self._speed = speed
        self._is_paused = False
        self._shown_t, self._since = begin_t, clock()
        """The time that was shown when the clock was `_since`."""
        self.changed = threading.Event()
        """Set by each key, for whoever waits to draw."""

    def now(self) -> float:
        """The time of the run that is shown."""
        with self._lock:
            return self._now()

    def state(self) -> PlaybackState:
        with self._lock:
            return PlaybackState(self._speed, self._is_paused, is_at_end=self._now() >= self._end_t)

    def extend(self, end_t: float) -> None:
        """The journal has grown, since its run goes on."""
        with self._lock:
            self._anchor(self._now())
            self._end_t = max(self._end_t, end_t)

    def toggle_pause(self) -> None:
        with self._lock:
            self._anchor(self._now())
            self._is_paused = not self._is_paused
        self.changed.set()

    def multiply_speed(self, factor: float) -> None:
        """Play faster or slower, within MIN_SPEED and MAX_SPEED."""
        with self._lock:
            self._anchor(self._now())
            self._speed = min(MAX_SPEED, max(MIN_SPEED, self._speed * factor))
        self.changed.set()

    def jump(self, share: float) -> None:
        """Move by a share of the whole time of the journal; negative: back."""
        with self._lock:
            self._anchor(self._now() + share * (self._end_t - self._begin_t))
        self.changed.set()

    def _now(self) -> float:
        passed_s = 0.0 if self._is_paused else (self._clock() - self._since) * self._speed
        return min(self._end_t, self._shown_t + passed_s)

    def _anchor(self, t: float) -> None:
        self._shown_t, self._since = min(self._end_t, max(self._begin_t, t)), self._clock()
