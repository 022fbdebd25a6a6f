"""Requests to change something as text: a row for each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bertd.api.models import AuditView
from bertd.cli.output.tables import OutputStyle, format_table


def audit_table(rows: Sequence[AuditView], *, style: OutputStyle) -> str:
    """One line per request, with the local time."""
    if not rows:
        return "nobody has asked to change anything"
    cells = [
        [
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.t)),
            row.user,
            row.request.replace("/v1/", "", 1),
            str(row.status),
            row.outcome,
        ]
        for row in rows
    ]
    return format_table(["TIME", "USER", "REQUEST", "STATUS", "OUTCOME"], cells, right={3}, style=style, shrink={4: 20})
