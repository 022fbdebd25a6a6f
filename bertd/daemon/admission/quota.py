"""How many jobs a user may have in the queue."""

from __future__ import annotations

from bertd.errors import QuotaError


def require_quota(num_jobs: int, *, limit: int) -> None:
    """Refuse one more job of a user.

    Args:
        num_jobs: of the user, that have not ended.

    Raises:
        QuotaError: there are as many as the configuration allows.
    """
    if num_jobs >= limit:
        raise QuotaError(
            f"you have {num_jobs:,} jobs in the queue, and limits.queued_jobs_per_user allows {limit:,}; wait until "
            "some have ended, or stop some"
        )
