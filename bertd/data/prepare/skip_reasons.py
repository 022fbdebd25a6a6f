"""Format the reasons for which documents were left out."""

from __future__ import annotations

import re
from collections import Counter

from bertd.data.sources.readers.left_out import SkipReason


def format_skip_reasons(skipped: Counter[str]) -> str:
    counts = ", ".join(f"{times} {reason}" for reason, times in sorted(skipped.items()))
    return f" (left out: {counts})" if counts else ""


def format_encoding_remedy(skipped: Counter[str]) -> str:
    """What to do where text was left out because of its encoding."""
    is_undecoded = skipped[SkipReason.INVALID_UTF8.value] or skipped[SkipReason.NOT_TEXT.value]
    return "; name the encoding of text that is not UTF-8 with --encoding" if is_undecoded else ""


_KEY = re.compile(r'"([^"\\\\]{1,40})"\s*:')
_MAX_KEYS = 12


def format_field_remedy(record: str) -> str:
    """What to do where records lack the text field.

    Args:
        record: the beginning of one of them, as JSON; empty if none does.
    """
    keys = list(dict.fromkeys(_KEY.findall(record)))[:_MAX_KEYS]
    return f"; a record has {', '.join(map(repr, keys))}: give --text-field" if keys else ""
