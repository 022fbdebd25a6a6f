"""The job that runs a program of a person's own: what its folder says about it."""

from __future__ import annotations

from pydantic import Field

from bertd.records.record import Record


class CommandJobSpec(Record):
    """What a job of kind `command` runs; only the daemon's user can read the file, because of the environment."""

    argv: list[str] = Field(min_length=1)
    """The program and its arguments; never given to a shell."""
    cwd: str
    """The folder it runs in, absolute."""
    environment: dict[str, str]
    """Of who submitted it, as bertd.run.machine.command_environment lets it through."""
    job_id: int
    run_id: str | None
    """The run that it belongs to; None for none."""
    run_folder: str | None
    num_cpus: int | None
    """Cores that it has; None for a job on GPUs."""
    time_limit_s: float | None = None
    """Wall time after which it is ended; None for no limit."""
