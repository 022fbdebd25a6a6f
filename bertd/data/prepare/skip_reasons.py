"""Format the reasons for which documents were left out."""

from __future__ import annotations

from collections import Counter


def format_skip_reasons(skipped: Counter[str]) -> str:
    counts = ", ".join(f"{times} {reason}" for reason, times in sorted(skipped.items()))
    return f" (left out: {counts})" if counts else ""
