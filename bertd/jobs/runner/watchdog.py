"""Detect ranks that are alive but hung. Pure.

The beats are those of bertd.run.ranks.heartbeat. One rank that hangs stops the others at their next collective
operation, so the group is hung when no rank has sent a beat for longer than the longest limit of the sections they are
in. The limits adapt to the times measured in this attempt; the first step and the first validation may compile, and get
more time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bertd.run.amounts.durations import format_duration
from bertd.run.ranks.heartbeat import HeartbeatRecord, Phase

LONGEST_FACTOR = 10.0
"""A silence this many times as long as the longest so far is a hang."""
FIRST_FACTOR = 2.0
"""The same relative to a section's first time, which may have included compilation or just show the machine's speed."""
_MAX_LOOK_GAP_S = 10.0
"""After a longer gap between two looks the watchdog itself was stopped, and perhaps the ranks too; the gap does not
count as silence."""


@dataclass(frozen=True)
class HangTimeouts:
    """The smallest limits on silence, in seconds."""

    start_s: float = 1800.0
    """From the launch to the first step: set up the process group, verify and load a large checkpoint."""
    compile_s: float = 1800.0
    """A section's first time."""
    step_s: float = 60.0
    validation_s: float = 600.0
    save_s: float = 600.0
    suspend_s: float = 60.0

    def min_timeout_s(self, phase: Phase) -> float:
        """The smallest limit of a section, except its first time."""
        return {
            Phase.START: self.start_s,
            Phase.STEP: self.step_s,
            Phase.VALIDATION: self.validation_s,
            Phase.SAVE: self.save_s,
            Phase.SUSPEND: self.suspend_s,
        }[phase]


@dataclass(frozen=True)
class Watchdog:
    """The beats of one attempt, and the silences measured between them."""

    timeouts: HangTimeouts
    last_beat_s: float
    """CLOCK_MONOTONIC of the last new beat, or of the launch; moved forward by a gap between two looks."""
    last_look_s: float
    beats: tuple[HeartbeatRecord, ...] = ()
    """The newest of each rank."""
    first_silence_s: Mapping[Phase, float] = field(default_factory=dict)
    """How long each section was silent its first time."""
    longest_silence_s: Mapping[Phase, float] = field(default_factory=dict)
    """The longest silence of each section since."""

    def observe(self, beats: tuple[HeartbeatRecord, ...], *, now_s: float) -> Watchdog:
        """The watchdog after a look at the board."""
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
        """Longest silence allowed now."""
        if not self.beats:
            return self.timeouts.start_s
        return max(self._limit_for(beat) for beat in self.beats)

    def is_hung(self, *, now_s: float) -> bool:
        """Whether the ranks have been silent for too long."""
        return now_s - self.last_beat_s > self.limit_s()

    def describe(self, *, now_s: float, stopped: Collection[int] = ()) -> str:
        """One line: how long there was no beat, and which rank is behind; `stopped` are pids stopped by a signal."""
        silence = format_duration(now_s - self.last_beat_s)
        if not self.beats:
            return f"no heartbeat from any rank for {silence} since the launch"
        limit = format_duration(self.limit_s())
        return f"no rank made progress for {silence}, the limit is {limit}; {self._describe_slowest(stopped)}"

    def _describe_slowest(self, stopped: Collection[int]) -> str:
        least = min((beat.step, beat.count) for beat in self.beats)
        # Ranks that wait for one that is stopped within a step have sent as many beats as that one.
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
