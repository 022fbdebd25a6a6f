"""Format the reasons for which documents were left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from bertd.data.sources.readers.left_out import LeftOut, SkipReason
from bertd.data.sources.readers.rows.json_envelopes import list_members


def format_skip_reasons(skipped: Counter[str]) -> str:
    counts = ", ".join(f"{times} {reason}" for reason, times in sorted(skipped.items()))
    return f" (left out: {counts})" if counts else ""


def format_encoding_remedy(skipped: Counter[str]) -> str:
    """What to do where text was left out because of its encoding."""
    is_undecoded = skipped[SkipReason.INVALID_UTF8.value] or skipped[SkipReason.NOT_TEXT.value]
    return "; name the encoding of text that is not UTF-8 with --encoding" if is_undecoded else ""


_MAX_KEYS = 12


def format_field_remedy(left_outs: Iterable[LeftOut], *, text_field: str) -> str:
    """What to do where records lack the text field, or have something else than a text in it; empty if none do."""
    left_outs = list(left_outs)
    if record := _find_sample(left_outs, SkipReason.NO_FIELD):
        return _name_keys(record)
    record = _find_sample(left_outs, SkipReason.FIELD_NOT_TEXT)
    values = {key: record[position : position + 1] for key, position in list_members(record)}
    if values.get(text_field) == "[":
        field = json.dumps(text_field)
        return f"; the field holds lists: join their parts first, jq -c '.[{field}] |= join(\"\\n\")' FILE > NEW"
    return "; give another field with --text-field" if record else ""


def _find_sample(left_outs: list[LeftOut], reason: SkipReason) -> str:
    samples = [sample for left_out in left_outs for _, sample in left_out.samples.get(reason, [])]
    return samples[0] if samples and samples[0].startswith("{") else ""


def _name_keys(record: str) -> str:
    """The fields of a record, those of an object in it by their path."""
    names: list[str] = []
    inner: list[tuple[str, str]] = []
    for key, position in list_members(record):
        nested = [name for name, _ in list_members(record[position:])] if record.startswith("{", position) else []
        inner += [(key, name) for name in nested]
        names += [f"{key}.{name}" for name in nested] or [key]
    if not names:
        return ""
    text = f"; a record has {', '.join(map(repr, names[:_MAX_KEYS]))}: give --text-field"
    if not inner:
        return text
    outer, name = inner[-1]
    path = f".[{json.dumps(outer)}][{json.dumps(name)}]"
    return f"{text}, or, for one in another, take it out first, such as jq -c '{{text: {path}}}' FILE > NEW"
