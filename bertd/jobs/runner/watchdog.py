"""When ranks that are alive but do not get on are taken for hung. Pure.

The beats are those of bertd.run.heartbeat. One rank that hangs stops the others at their next exchange, so the group is
hung when no rank at all has beaten for longer than any of the sections they are in may take. How long those are is
learnt from the attempt itself; the first step and the first validation may compile, and have more time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bertd.run.durations import format_duration
from bertd.run.heartbeat import HeartbeatRecord, Phase

LONGEST_FACTOR = 10.0
"""Silence this many times as long as the longest so far is a hang."""
FIRST_FACTOR = 2.0
"""The same for a section's first time, which may have been a compile or simply the machine's pace."""
_MAX_LOOK_GAP_S = 10.0
"""A watchdog that did not look for longer was itself stopped, and so perhaps were the ranks."""


@dataclass(frozen=True)
class HangTimeouts:
    """How long silence is borne at least, in seconds."""

    start_s: float = 1800.0
    """From the launch to the first step: ranks meet, a large checkpoint is verified and loaded."""
    compile_s: float = 1800.0
    """A section's first time."""
    step_s: float = 60.0
    validation_s: float = 600.0
    save_s: float = 600.0
    suspend_s: float = 60.0

    def min_timeout_s(self, phase: Phase) -> float:
        """Of one section, its first time aside."""
        return {
            Phase.START: self.start_s,
            Phase.STEP: self.step_s,
            Phase.VALIDATION: self.validation_s,
            Phase.SAVE: self.save_s,
            Phase.SUSPEND: self.suspend_s,
        }[phase]


@dataclass(frozen=True)
class Watchdog:
    """What is known of one attempt's beats."""

    timeouts: HangTimeouts
    last_beat_s: float
    """CLOCK_MONOTONIC at which a beat was last seen, or of the launch."""
    last_look_s: float
    beats: tuple[HeartbeatRecord, ...] = ()
    """The newest of each rank."""
    first_silence_s: Mapping[Phase, float] = field(default_factory=dict)
    """How long each section was silent its first time."""
    longest_silence_s: Mapping[Phase, float] = field(default_factory=dict)
    """The longest it was silent since."""

    def observe(self, beats: tuple[HeartbeatRecord, ...], *, now_s: float) -> Watchdog:
        """After a look at the board."""
        gap_s = now_s - self.last_look_s
        last_beat_s = self.last_beat_s + gap_s if gap_s > _MAX_LOOK_GAP_S else self.last_beat_s
        if beats == self.beats:
            return replace(self, last_look_s=now_s, last_beat_s=last_beat_s)
        first_silence_s, longest_silence_s = dict(self.first_silence_s), dict(self.longest_silence_s)
        for beat in self.beats:
            silences_s = first_silence_s if beat.is_first else longest_silence_s
            silences_s[beat.section] = max(silences_s.get(beat.section, 0.0), now_s - last_beat_s)
        return replace(
            self,
            last_look_s=now_s,
            last_beat_s=now_s,
            beats=beats,
            first_silence_s=first_silence_s,
            longest_silence_s=longest_silence_s,
        )

    def limit_s(self) -> float:
        """Longest silence that is borne now."""
        if not self.beats:
            return self.timeouts.start_s
        return max(self._limit_for(beat) for beat in self.beats)

    def is_hung(self, *, now_s: float) -> bool:
        """Whether the ranks have been silent for too long."""
        return now_s - self.last_beat_s > self.limit_s()

    def describe(self, *, now_s: float, stopped: Collection[int] = ()) -> str:
        """For people: how long nothing was heard, and which rank is behind; `stopped` are pids that a signal halts."""
        silence = format_duration(now_s - self.last_beat_s)
        if not self.beats:
            return f"no rank was heard of for {silence} since the launch"
        limit = format_duration(self.limit_s())
        return f"no rank got on for {silence}, the limit here is {limit}; {self._describe_slowest(stopped)}"

    def _describe_slowest(self, stopped: Collection[int]) -> str:
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

    def _limit_for(self, beat: HeartbeatRecord) -> float:
        if beat.section is Phase.START:
            return self.timeouts.start_s
        min_timeout_s = self.timeouts.min_timeout_s(beat.section)
        if beat.is_first:
            return max(min_timeout_s, self.timeouts.compile_s)
        first_silence_s, longest_silence_s = (
            self.first_silence_s.get(beat.section, 0.0),
            self.longest_silence_s.get(beat.section, 0.0),
        )
        return max(min_timeout_s, FIRST_FACTOR * first_silence_s, LONGEST_FACTOR * longest_silence_s)
