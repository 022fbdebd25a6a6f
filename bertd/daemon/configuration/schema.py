"""The sections and keys of bertd.toml, the daemon's configuration; bertd/daemon/configuration/sources.py reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_MAX_QUEUED_JOBS = 1_000_000


class _Section(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def _require_absolute(path: str | None) -> str | None:
    if path is not None and "\0" in path:
        raise ValueError("a path has no NUL character; leave it out")
    if path is not None and not Path(path).is_absolute():
        raise ValueError("give an absolute path: the daemon's working folder is not yours")
    return path


class DaemonSection(_Section):
    state_dir: Annotated[str, Field(min_length=1), AfterValidator(_require_absolute)] | None = None
    """Where queue and runs are kept, as `bertd start --state-dir`."""
    keep_running_on_stop: bool = False
    """When the daemon ends, leave jobs running for the next one to adopt, instead of pausing them."""


class DevicesSection(_Section):
    finetunings_per_gpu: Annotated[int, Field(ge=1, le=64)] | None = None
    """How many finetunings may share a GPU, each with an equal part of its memory; unset: one for each 12 GB, up to
    4."""


class LimitsSection(_Section):
    queued_jobs_per_user: Annotated[int, Field(ge=1, le=_MAX_QUEUED_JOBS)] = 10_000
    """Jobs of one user that have not ended; who has as many can queue no more. Root and the daemon's own user have
    no limit."""


class CommandsSection(_Section):
    for_operators: bool = True
    """Whether members of the group bertd-operators may run any program as the daemon's user, by
    `bertd submit --command`; if not, only root and that user may."""


class Configuration(_Section):
    """All of bertd.toml; every key has a default."""

    daemon: DaemonSection = DaemonSection()
    devices: DevicesSection = DevicesSection()
    limits: LimitsSection = LimitsSection()
    commands: CommandsSection = CommandsSection()
