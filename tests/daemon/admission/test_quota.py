"""bertd.daemon.admission.quota: a user may have so many jobs that have not ended."""

from __future__ import annotations

import pytest

from bertd.daemon.admission.quota import require_quota
from bertd.errors import QuotaError


def test_who_has_as_many_as_allowed_queues_no_more() -> None:
    require_quota(2, limit=3, uid=7)
    with pytest.raises(QuotaError, match="uid 7 has 3 jobs in the queue, and limits.queued_jobs_per_user allows 3"):
        require_quota(3, limit=3, uid=7)
