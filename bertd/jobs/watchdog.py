"""When ranks that are alive but do not get on are taken for hung. Pure.

The beats are those of bertd.run.beats. One rank that hangs stops the others at their next exchange, so the group is
hung when no rank at all has beaten for longer than any of the sections they are in may take. How long those are is
learnt from the attempt itself; the first step and the first validation may compile, and have more time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bertd.run.beats import Beat, Section
from bertd.run.durations import format_duration

TIMES_LONGEST = 10.0
"""Silence this many times as long as the longest so far is a hang."""
TIMES_FIRST = 2.0
"""The same for a section's first time, which may have been a compile or simply the machine's pace."""
_BLINK_S = 10.0
"""A watchdog that did not look for longer was itself stopped, and so perhaps were the ranks."""


@dataclass(frozen=True)
class Patience:
    """How long silence is borne at least, in seconds."""

    start_s: float = 1800.0
    """From the launch to the first step: ranks meet, a large checkpoint is verified and loaded."""
    compile_s: float = 1800.0
    """A section's first time."""
    step_s: float = 60.0
    validation_s: float = 600.0
    save_s: float = 600.0
    hold_s: float = 60.0

    def floor_s(self, section: Section) -> float:
        """Of one section, its first time aside."""
        return {
            Section.START: self.start_s,
            Section.STEP: self.step_s,
            Section.VALIDATION: self.validation_s,
            Section.SAVE: self.save_s,
            Section.HOLD: self.hold_s,
        }[section]


@dataclass(frozen=True)
class Watchdog:
    """What is known of one attempt's beats."""

    patience: Patience
    beat_at_s: float
    """CLOCK_MONOTONIC at which a beat was last seen, or of the launch."""
    looked_at_s: float
    beats: tuple[Beat, ...] = ()
    """The newest of each rank."""
    first_s: Mapping[Section, float] = field(default_factory=dict)
    """How long each section was silent its first time."""
    longest_s: Mapping[Section, float] = field(default_factory=dict)
    """The longest it was silent since."""

    def seen(self, beats: tuple[Beat, ...], *, now_s: float) -> Watchdog:
        """After a look at the board."""
        blink_s = now_s - self.looked_at_s
        beat_at_s = self.beat_at_s + blink_s if blink_s > _BLINK_S else self.beat_at_s
        if beats == self.beats:
            return replace(self, looked_at_s=now_s, beat_at_s=beat_at_s)
        first_s, longest_s = dict(self.first_s), dict(self.longest_s)
        for beat in self.beats:
            known_s = first_s if beat.is_first else longest_s
            known_s[beat.section] = max(known_s.get(beat.section, 0.0), now_s - beat_at_s)
        return replace(self, looked_at_s=now_s, beat_at_s=now_s, beats=beats, first_s=first_s, longest_s=longest_s)

    def limit_s(self) -> float:
        """Longest silence that is borne now."""
        if not self.beats:
            return self.patience.start_s
        return max(self._limit_of(beat) for beat in self.beats)

    def is_hung(self, *, now_s: float) -> bool:
        """Whether the ranks have been silent for too long."""
        return now_s - self.beat_at_s > self.limit_s()

    def describe(self, *, now_s: float, stopped: Collection[int] = ()) -> str:
        """For people: how long nothing was heard, and which rank is behind; `stopped` are pids that a signal halts."""
        silence = format_duration(now_s - self.beat_at_s)
        if not self.beats:
            return f"no rank was heard of for {silence} since the launch"
        limit = format_duration(self.limit_s())
        return f"no rank got on for {silence}, the limit here is {limit}; {self._describe_behind(stopped)}"

    def _describe_behind(self, stopped: Collection[int]) -> str:
        least = min((beat.step, beat.count) for beat in self.beats)
        # Ranks that wait for one that is halted within a step have told of as many beats as it has.
        level = [beat for beat in self.beats if (beat.step, beat.count) == least]
        halted = [beat for beat in level if beat.pid in stopped]
        named = halted or level
        names = " and ".join(f"rank {beat.rank} (pid {beat.pid})" for beat in named)
        where = f"in {'its' if len(named) == 1 else 'their'} {named[0].section} after step {named[0].step}"
        if halted:
            return f"{names} was stopped by a signal, {where}"
        if len(level) == 1:
            return f"{names} is the furthest behind, {where}"
        return f"{names} are equally far, {where}"

    def _limit_of(self, beat: Beat) -> float:
        if beat.section is Section.START:
            return self.patience.start_s
        floor_s = self.patience.floor_s(beat.section)
        if beat.is_first:
            return max(floor_s, self.patience.compile_s)
        first_s, longest_s = self.first_s.get(beat.section, 0.0), self.longest_s.get(beat.section, 0.0)
        return max(floor_s, TIMES_FIRST * first_s, TIMES_LONGEST * longest_s)
