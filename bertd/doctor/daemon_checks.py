"""Checks of the daemon: does it answer, of what version is it, does it outlive a logout, what do its runs report."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from pathlib import Path

import bertd
from bertd.api.client import Client
from bertd.api.models import DiskQuotaView
from bertd.daemon.configuration.sources import ConfigurationSources, read_configuration
from bertd.daemon.disk_quotas.quota_decisions import WARN_SHARE
from bertd.errors import BertdError, ConfigurationError
from bertd.records import Finding, JobState, Severity
from bertd.run.amounts.quantities import format_bytes
from bertd.run.paths import default_state_dir

_TIMEOUT_S = 5.0
_LIVE = (JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.PAUSED, JobState.STOPPING)


def find_state_dir(sources: ConfigurationSources) -> tuple[Path, list[Finding]]:
    """The state folder that `bertd start` would have, and what is wrong with the configuration that says so."""
    try:
        return read_configuration(sources).state_dir.absolute(), []
    except ConfigurationError as error:
        finding = Finding(
            check="configuration",
            severity=Severity.FAULT,
            text=str(error),
            cost="`bertd start` ends at once, and a running daemon does not reload it",
        )
        return default_state_dir().absolute(), [finding]


def check_daemon(socket: Path) -> Iterator[Finding]:
    """All checks of the daemon that listens on `socket`, and of its runs."""
    client = Client(socket, timeout_s=_TIMEOUT_S)
    try:
        version = client.version().bertd
    except BertdError as error:
        yield Finding(check="daemon", severity=Severity.NOTE, text=str(error))
        return
    yield _judge_version(version)
    try:
        yield from _judge_disk_quota(client.status().disk_quota)
        for run in client.runs():
            if run.alert is not None and run.state in _LIVE:
                severity = Severity.FAULT if run.alert.level == "error" else Severity.NOTE
                yield Finding(check=f"run {run.id}", severity=severity, text=run.alert.message)
    except BertdError as error:
        yield Finding(check="daemon", severity=Severity.FAULT, text=str(error))


def _judge_version(version: str) -> Finding:
    if version == bertd.__version__:
        return Finding(check="daemon", severity=Severity.OK, text=f"the daemon answers; it is bertd {version}")
    return Finding(
        check="daemon",
        severity=Severity.NOTE,
        text=f"the daemon is bertd {version}, and this is bertd {bertd.__version__}",
        remedy="restart the daemon: its runs pause with a checkpoint, and continue",
    )


def _judge_disk_quota(disk: DiskQuotaView | None) -> Iterator[Finding]:
    """Whether the quota of the disk is nearly used up; nothing where there is none."""
    if disk is None or disk.quota_bytes is None:
        return
    share = disk.used_bytes / disk.quota_bytes
    text = f"{format_bytes(disk.used_bytes)} of quotas.disk_in_all = {format_bytes(disk.quota_bytes)} used"
    if share < WARN_SHARE:
        yield Finding(check="disk quota", severity=Severity.OK, text=text)
        return
    yield Finding(
        check="disk quota",
        severity=Severity.FAULT if share >= 1 else Severity.NOTE,
        text=text,
        remedy="bertd gc --delete, or raise the quota",
        cost="no new job is accepted" if share >= 1 else "no new job is accepted when it is used up",
    )


def check_linger(root: Path = Path("/"), *, home: Path | None = None, user: str | None = None) -> Iterator[Finding]:
    """Whether the daemon of a user's own unit outlives the user's last logout.

    Args:
        root: what stands for / in a test.
        home: the user's; by default that of this process, as `user`.
    """
    if os.geteuid() == 0 and user is None:
        return
    unit = (home or Path.home()) / ".config/systemd/user/bertd.service"
    name = user or getpass.getuser()
    if not unit.exists() or (root / "var/lib/systemd/linger" / name).exists():
        return
    yield Finding(
        check="linger",
        severity=Severity.FAULT,
        text=f"{unit} is there, and {name} does not linger",
        remedy="loginctl enable-linger",
        cost="the daemon and its runs end at your last logout",
    )
