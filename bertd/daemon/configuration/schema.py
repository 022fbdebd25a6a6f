"""The sections and keys of bertd.toml, the daemon's configuration; bertd/daemon/configuration/sources.py reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from bertd.api.models import GROUP_NAME
from bertd.daemon.disk_quotas.quota_decisions import DiskLimits
from bertd.daemon.hooks.hook_events import HookEvent
from bertd.daemon.scheduling.conditions.group_limits import GroupLimits, Limits
from bertd.run.amounts.quantities import parse_bytes

_MAX_QUEUED_JOBS = 1_000_000
_MAX_GROUPS = 100
_MAX_HOOKS = 16
"""Each has a thread."""


class _Section(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def _require_absolute(path: str | None) -> str | None:
    if path is not None and "\0" in path:
        raise ValueError("a path has no NUL character; leave it out")
    if path is not None and not Path(path).is_absolute():
        raise ValueError("give an absolute path: the daemon's working folder is not yours")
    return path


def _require_root(path: str) -> str:
    absolute = _require_absolute(path)
    assert absolute is not None
    return absolute


class DaemonSection(_Section):
    state_dir: Annotated[str, Field(min_length=1), AfterValidator(_require_absolute)] | None = None
    """Where queue and runs are kept, as `bertd start --state-dir`."""
    keep_running_on_stop: bool = False
    """When the daemon ends, leave jobs running for the next one to adopt, instead of pausing them."""


class DevicesSection(_Section):
    finetunings_per_gpu: Annotated[int, Field(ge=1, le=64)] | None = None
    """How many finetunings may share a GPU, each with an equal part of its memory; unset: one for each 12 GB, up to
    4."""


class PowerSection(_Section):
    price: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    """Of one kWh; unset: no cost is shown."""
    currency: Annotated[str, Field(pattern=r"^[A-Za-z]{1,8}$")] = "EUR"


class UpgradesSection(_Section):
    queued_jobs: Literal["run", "hold"] = "run"
    """What happens to a queued or paused job that would start with other software than it was queued or last started
    with: run it with an alert that names the differences, or hold it with them until a person releases it."""


class LimitsSection(_Section):
    queued_jobs_per_user: Annotated[int, Field(ge=1, le=_MAX_QUEUED_JOBS)] = 10_000
    """Jobs of one user that have not ended; who has as many can queue no more. Root and the daemon's own user have
    no limit."""


def _require_size(text: str | None) -> str | None:
    if text is not None:
        parse_bytes(text)
    return text


_Size: TypeAlias = Annotated[str, Field(max_length=40), AfterValidator(_require_size)] | None


class QuotasSection(_Section):
    """How much of the disk the jobs may take; see docs/operating.md."""

    disk_per_run: _Size = None
    """The folder of a run with its exports and finetunings, such as 200GB; unset: no quota."""
    disk_in_all: _Size = None
    """All of the state folder, such as 2TB; unset: no quota."""

    @property
    def limits(self) -> DiskLimits:
        """In bytes."""
        return DiskLimits(per_run=_bytes(self.disk_per_run), in_all=_bytes(self.disk_in_all))


def _bytes(size: str | None) -> int | None:
    return None if size is None else parse_bytes(size)


class CommandsSection(_Section):
    for_operators: bool = True
    """Whether members of the group bertd-operators may run any program as the daemon's user, by
    `bertd submit --command`; if not, only root and that user may."""


_Limit: TypeAlias = Annotated[int, Field(ge=1, le=_MAX_QUEUED_JOBS)] | None


class GroupSection(_Section):
    """`[groups.NAME]`: what the jobs of `bertd submit --group NAME` may have at a time; unset: as much as there is."""

    max_jobs: _Limit = None
    """Jobs that have devices."""
    max_gpus: _Limit = None
    max_cores: _Limit = None
    """Of jobs without GPUs."""
    max_jobs_per_user: _Limit = None
    max_gpus_per_user: _Limit = None
    max_cores_per_user: _Limit = None

    @property
    def limits(self) -> GroupLimits:
        """For the scheduler."""
        return GroupLimits(
            in_all=Limits(self.max_jobs, self.max_gpus, self.max_cores),
            per_user=Limits(self.max_jobs_per_user, self.max_gpus_per_user, self.max_cores_per_user),
        )


class PathsSection(_Section):
    roots: tuple[Annotated[str, Field(min_length=1), AfterValidator(_require_root)], ...] = ()
    """Folders in which what a submission names must be: data sets, tables, models to start from and the folder of a
    command. Of root and the daemon's own user it may be anywhere, and of everybody where no folder is given."""


class WebhooksSection(_Section):
    allowed_hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,253}$")], ...] = ()
    """Hosts beyond this machine that the URL of a hook may have, as they stand in it, in lower case."""


class HookSection(_Section):
    """A program or a webhook that is called when something happens; see docs/hooks.md."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    on: Annotated[tuple[HookEvent, ...], Field(min_length=1)]
    """The events that call it."""
    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] | None = None
    """A program, by its absolute path, and its arguments."""
    url: Annotated[str, Field(max_length=2_000)] | None = None
    """http or https, of this machine or of a host in `webhooks.allowed_hosts`."""
    unix: Annotated[str, Field(min_length=1, max_length=107), AfterValidator(_require_absolute)] | None = None
    """Path of a Unix socket that speaks HTTP."""
    secret_file: Annotated[str, Field(min_length=1), AfterValidator(_require_absolute)] | None = None
    """Of mode 0600: the key of the signature that a webhook gets."""
    timeout_s: Annotated[float, Field(ge=1, le=300)] = 10.0
    """After which a delivery is broken off."""

    @field_validator("on")
    @classmethod
    def _refuse_test(cls, events: tuple[HookEvent, ...]) -> tuple[HookEvent, ...]:
        if HookEvent.TEST in events:
            raise ValueError("leave out test: `bertd hooks test` calls every hook")
        return events

    @field_validator("command")
    @classmethod
    def _require_program(cls, command: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if command is not None:
            _require_absolute(command[0])
            if any("\0" in word for word in command):
                raise ValueError("give text without NUL characters")
        return command

    @field_validator("url")
    @classmethod
    def _require_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("give http://HOST/... or https://HOST/...")
        if parts.username is not None or parts.fragment or not url.isascii() or any(c <= " " for c in url):
            raise ValueError("give a URL without user, password, fragment, spaces and other than ASCII characters")
        return url

    @model_validator(mode="after")
    def _require_one_target(self) -> Self:
        if sum(target is not None for target in (self.command, self.url, self.unix)) != 1:
            raise ValueError("give one of command, url and unix")
        if self.command is not None and self.secret_file is not None:
            raise ValueError("leave out secret_file: only webhooks are signed")
        return self

    @property
    def kind(self) -> Literal["command", "url", "unix"]:
        return "command" if self.command is not None else "url" if self.url is not None else "unix"

    @property
    def host(self) -> str | None:
        """Of the URL."""
        return None if self.url is None else urlsplit(self.url).hostname

    @property
    def target(self) -> str:
        """For everybody to see: without arguments, path and query, which may hold secrets."""
        if self.command is not None:
            return self.command[0]
        if self.url is not None:
            parts = urlsplit(self.url)
            return f"{parts.scheme}://{parts.netloc}/..."
        return str(self.unix)


def _require_distinct_names(hooks: tuple[HookSection, ...]) -> tuple[HookSection, ...]:
    names = [hook.name for hook in hooks]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two hooks are named {repeated[0]}; give each a name of its own")
    return hooks


class Configuration(_Section):
    """All of bertd.toml; every key has a default."""

    daemon: DaemonSection = DaemonSection()
    devices: DevicesSection = DevicesSection()
    power: PowerSection = PowerSection()
    upgrades: UpgradesSection = UpgradesSection()
    limits: LimitsSection = LimitsSection()
    quotas: QuotasSection = QuotasSection()
    commands: CommandsSection = CommandsSection()
    paths: PathsSection = PathsSection()
    webhooks: WebhooksSection = WebhooksSection()
    groups: Annotated[dict[Annotated[str, Field(pattern=GROUP_NAME)], GroupSection], Field(max_length=_MAX_GROUPS)] = {}
    """`[groups.NAME]`; a group in a later file replaces that of the same name."""
    hooks: Annotated[
        tuple[HookSection, ...], Field(max_length=_MAX_HOOKS), AfterValidator(_require_distinct_names)
    ] = ()
    """`[[hooks]]`; one value: the hooks of a later file replace those of an earlier one."""
