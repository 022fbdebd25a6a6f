"""When a job may start and run, by the clock on the wall."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from bertd.records.record import Record

_MinuteOfDay = Annotated[int, Field(ge=0, lt=1440)]


class DailyHours(Record):
    """A part of each day, in the daemon's local time; it may contain midnight."""

    from_minute: _MinuteOfDay
    """After midnight, as the clock on the wall shows it."""
    until_minute: _MinuteOfDay

    @model_validator(mode="after")
    def _check_is_a_part(self) -> Self:
        if self.from_minute == self.until_minute:
            raise ValueError("begins and ends at the same minute; leave it out for the whole day")
        return self

    def __str__(self) -> str:
        begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (self.from_minute, self.until_minute))
        return f"{begin}-{end}"


class StartTimes(Record):
    """What a job was submitted with."""

    begin_t: float | None = None
    """It does not start before, in seconds since the epoch; None for at once."""
    only: DailyHours | None = None
    """It runs in these hours alone; None for always."""
