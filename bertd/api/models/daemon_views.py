"""The daemon itself: version, status, configuration, events, logs, audit, refusals."""

from __future__ import annotations

from bertd.api.models.device_views import DeviceView, MachineView
from bertd.api.models.job_views import JobView
from bertd.api.models.run_views import DiskQuotaView, RunView
from bertd.records import (
    JobState,
    Record,
)


class VersionView(Record):
    """The daemon that answers."""

    bertd: str
    api: int
    pid: int
    state_dir: str
    started_t: float
    read_only: str | None = None
    """Why it changes nothing, with the remedy; None in a daemon that does its work."""
    is_operator: bool | None = None
    """Whether the one who asks may change things; only in the response of /v1/version."""


class ConfigurationKeyView(Record):
    """One key of the daemon's configuration."""

    key: str
    """`section.key`."""
    value: bool | int | float | str | None
    """What applies; None if it is not set."""
    origin: str
    """Where `read` comes from: a file, `$VARIABLE`, `--option` or `default`."""
    read: bool | int | float | str | None
    """What was read last; another than `value` if only a start applies it."""


class AuditView(Record):
    """One change that somebody asked for, whether it was done or not."""

    id: int
    t: float
    user: str
    """The peer's user name; its uid if the machine has no such user."""
    uid: int
    pid: int
    """Of the peer when it connected."""
    request: str
    """Method and path."""
    key: str | None
    """The idempotency key, by which a repeated request is known."""
    status: int
    """The HTTP status of the answer."""
    outcome: str
    """`done`, or why not."""


class EventView(Record):
    """One row of the daemon's event log; ids rise and never repeat."""

    id: int
    t: float
    type: str
    """The journal record's kind, or what else it is of: job (a change of the queue), device, grid, lending, sweep,
    milestone, hook, garbage, quota, configuration."""
    job_id: int | None
    run_id: str | None
    text: str
    """One line of text."""
    data: dict[str, object]
    """The record itself."""


class LogView(Record):
    """A part of a job's log."""

    text: str
    """Decoded as UTF-8, with invalid bytes replaced; control characters are still in it."""
    offset: int
    """Byte at which the part begins."""
    next_offset: int
    """Byte at which the next part begins."""
    size: int
    """Size of the log in bytes."""


class StartAccuracyView(Record):
    """How right the expected starts were, since the daemon began."""

    num_checked: int
    """Jobs that waited, had an expected start, and started."""
    num_wrong: int
    """Of these, those that started earlier or later than expected by more than a quarter of the wait, and a minute."""


class StatusView(Record):
    """Everything on the first screen, in one response."""

    version: VersionView
    runs: list[RunView]
    """Runs that are not over, and the newest one that is over; all that have ranks, at most 50 in all."""
    num_runs: int = 0
    """All runs that are not over, shown or not."""
    jobs: list[JobView]
    """All that have devices, then those next in the queue; at most 50. Newest first, with ended ones last."""
    num_jobs_by_state: dict[JobState, int] = {}
    """All jobs, shown or not; empty from a daemon of an earlier bertd."""
    devices: list[DeviceView]
    start_accuracy: StartAccuracyView | None = None
    """None from a daemon of an earlier bertd."""
    machine: MachineView | None = None
    """None from a daemon of an earlier bertd."""
    disk_quota: DiskQuotaView | None = None
    """Of the folders of all jobs; None where the configuration has no such quota, and before it was measured."""
    events: list[EventView]
    """The newest 20, oldest first."""

    @property
    def num_jobs(self) -> int:
        """All jobs, shown or not."""
        return max(len(self.jobs), sum(self.num_jobs_by_state.values()))


class ErrorView(Record):
    """What the client reads of a response that is not 2xx; bertd.api.problem has all of its members."""

    code: str
    """The error's class name, stable for scripts."""
    message: str
    """Place, value and remedy."""
