"""How many jobs a user may have in the queue, and how much of the disk jobs may take.

Whatever puts a job into the queue asks here: people, sweeps and markers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bertd.daemon.disk_quotas.disk_quotas import DiskQuotas
from bertd.daemon.scheduling.conditions.group_limits import GroupLimits, reason_never
from bertd.errors import QuotaError, SubmissionError
from bertd.jobs.store.queue import Job, Queue
from bertd.run.machine.disk_space import RESERVE_BYTES, DiskNeed
from bertd.run.machine.trusted_folders import is_root_or_own


class Quotas:
    """What a user may have in the queue, and what groups there are."""

    def __init__(
        self,
        queue: Queue,
        *,
        limit: Callable[[], int],
        groups: Callable[[], Mapping[str, GroupLimits]] = dict,
        disk: DiskQuotas | None = None,
    ) -> None:
        """`limit` is how many jobs of a user may be in the queue now; `groups` are those of the configuration."""
        self._disk = disk
        self._groups = groups
        self._queue = queue
        self._limit = limit

    def require(self, owner_uid: int) -> None:
        """Refuse one more job of a user; root and the daemon's own user have no limit.

        Raises:
            QuotaError: there are as many as the configuration allows.
        """
        if not is_root_or_own(owner_uid):
            require_quota(self._queue.num_unended(owner_uid=owner_uid), limit=self._limit(), uid=owner_uid)

    def require_disk(self) -> None:
        """Refuse any new job while the quota of the disk is used up.

        Raises:
            QuotaError: it is.
        """
        if self._disk is not None:
            self._disk.require_room()

    def require_disk_of_run(self, folder: Path) -> None:
        """Refuse a new job in the folder of a run that has used up its quota of the disk.

        Args:
            folder: of the new job.

        Raises:
            QuotaError: it has.
        """
        if self._disk is not None:
            self._disk.require_room_of_run(folder)

    def require_fitting(self, need: DiskNeed, *, name: str) -> None:
        """Refuse a new run that could never keep to its quota of the disk.

        Args:
            need: with one newest checkpoint.
            name: of its recipe.

        Raises:
            QuotaError: it needs more.
        """
        if self._disk is not None:
            self._disk.require_fitting(need.total_bytes - RESERVE_BYTES, name=name)

    def require_group(self, draft: Job) -> None:
        """Refuse a job of a group that it can never run in.

        Raises:
            SubmissionError: there is no such group, or it allows fewer devices than the job needs.
        """
        groups = self._groups()
        if draft.group_name and (why := reason_never(draft, groups)):
            known = f"; the groups are: {', '.join(sorted(groups))}" if draft.group_name not in groups else ""
            raise SubmissionError(f"--group {draft.group_name}: {why}{known}")


def require_quota(num_jobs: int, *, limit: int, uid: int) -> None:
    """Refuse one more job of a user.

    Args:
        num_jobs: of the user, that have not ended.

    Raises:
        QuotaError: there are as many as the configuration allows.
    """
    if num_jobs >= limit:
        raise QuotaError(
            f"uid {uid} has {num_jobs:,} jobs in the queue, and limits.queued_jobs_per_user allows {limit:,}; wait "
            "until some have ended, or stop some"
        )
