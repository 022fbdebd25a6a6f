"""The job that runs one program, a person's own or one of bertd: what its folder says about it."""

from __future__ import annotations

from pydantic import Field

from bertd.records.record import Record


class CommandJobSpec(Record):
    """What a job of one of PROGRAM_KINDS runs; only the daemon's user can read the file, because of the environment."""

    argv: list[str] = Field(min_length=1)
    """The program and its arguments, never given to a shell; of a program of bertd, what a person would type."""
    module: str | None = None
    """The module of a program of bertd, which runs in its place with the run's folder, if it is of a run, and
    `arguments`; None for a person's own."""
    arguments: list[str] = []
    output: str | None = None
    """The folder that a program of bertd makes, which appears whole."""
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


class PrepareJob(Record):
    """What `bertd data prepare --queue` asks the daemon for, as its program has read it from the command line."""

    arguments: list[str]
    """Of the job's program, without --out and --processes."""
    out: str
    """The absolute path of the data set."""
    processes: int
    name: str | None
    after: list[str]
    after_any: list[str]
    begin: str | None
    priority: int
    hold: bool
    retries: int
    time_limit: str | None
    """As it was typed."""
    socket: str | None
    json_output: bool
