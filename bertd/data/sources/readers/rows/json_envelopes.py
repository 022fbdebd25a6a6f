"""One JSON object that holds all records: which form it has, and the command that takes them out.

Such a file is refused, since only its author knows which of its keys are records. Only its beginning is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_DECODER = json.JSONDecoder(parse_int=float)  # Python refuses to parse integers of more than 4,300 digits.
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_RECORDS = re.compile(r'\[[ \t\r\n]*[{"]')
"""The beginning of an array of objects or of texts."""
_OBJECTS = re.compile(r"\[[ \t\r\n]*\{")
_COLUMN = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{\s*"0"\s*:')
"""The beginning of a table by columns as of pandas: `{"text": {"0": "one", "1": "two"}}`."""
_MIN_RECORDS, _MIN_TEXTS = 2, 5
"""Values of an object that must be alike to be records; one record may have several texts."""
_MAX_MEMBERS = 32
"""Members of an object that are looked at."""
_MIN_TEXT_WORDS = 3
_NAMES_SHOWN = 3


def describe_envelope(text: str, *, text_field: str, place: str) -> str | None:
    """What an object holds that is all of a file, and how to take it out; None where it is a record itself.

    Args:
        text: begins with the object, which may be cut anywhere.
    """
    if is_by_columns(text):
        column = json.dumps(text_field)
        return f"{place}: is a table written by columns; take its texts out: jq '[.[{column}][]]' {place} > texts.json"
    if what := find_values_by_key(text, text_field=text_field):
        keys = ", ".join(repr(key) for key, _ in zip(_keys(text), range(_NAMES_SHOWN), strict=False))
        return (
            f"{place}: is one JSON object, with a {what} under each of its keys ({keys}, ...); take them out: "
            f"jq '[.[]]' {place} > records.json"
        )
    keys_to_array = find_array_keys(text, text_field=text_field)
    if not keys_to_array:
        return None
    path = "".join(f"[{json.dumps(key)}]" for key in keys_to_array)
    arrays = [key for key, position in list_members(text) if _RECORDS.match(text, position)]
    if len(arrays) > 1:
        names = ", ".join(map(repr, arrays[:_NAMES_SHOWN])) + (", ..." if len(arrays) > _NAMES_SHOWN else "")
        return (
            f"{place}: is one JSON object, with records in several arrays ({names}); take one of them out: "
            f"jq '.{path}' {place} > records.json, or all: jq '[.[] | arrays[]]' {place} > records.json"
        )
    return (
        f"{place}: is one JSON object, with its records in the array {'.'.join(keys_to_array)!r}; take the array "
        f"out: jq '.{path}' {place} > records.json"
    )


def is_by_columns(text: str) -> bool:
    """Whether an object that begins so is a table by columns."""
    return _COLUMN.match(text) is not None


def find_values_by_key(text: str, *, text_field: str) -> str | None:
    """Whether each value of an object is a record, or a text: the word for what they are; None where it is neither.

    Args:
        text: begins with the object, which may be cut anywhere.
    """
    values: list[object] = []
    for key, position in list_members(text):
        if key == text_field and text.startswith('"', position):
            return None
        try:
            values.append(_DECODER.raw_decode(text, position)[0])
        except (ValueError, RecursionError):
            # Cut, or not JSON.
            break
    records = [value for value in values if isinstance(value, dict) and value]
    if len(records) == len(values) >= _MIN_RECORDS and len({next(iter(record)) for record in records}) == 1:
        return "record"
    texts = [value for value in values if isinstance(value, str) and len(value.split()) >= _MIN_TEXT_WORDS]
    return "text" if len(texts) == len(values) >= _MIN_TEXTS else None


def find_array_keys(text: str, *, text_field: str, is_nested: bool = False) -> tuple[str, ...]:
    """The keys from an object to the array of records that begins in it; none where the object is a record itself.

    Args:
        text: begins with the object, which may be cut anywhere.
        is_nested: it is in another object, where an array of texts may be anything.
    """
    found: tuple[str, ...] = ()
    records = _OBJECTS if is_nested else _RECORDS
    for key, position in list_members(text, most=None):
        if key == text_field and text.startswith('"', position):
            return ()
        if not found and records.match(text, position):
            found = (key,)
        elif not found and text.startswith("{", position):
            inner = find_array_keys(text[position:], text_field=text_field, is_nested=True)
            found = (key, *inner) if inner else ()
    return found


def _keys(text: str) -> Iterator[str]:
    return (key for key, _ in list_members(text))


def list_members(text: str, *, most: int | None = _MAX_MEMBERS) -> Iterator[tuple[str, int]]:
    """The keys of an object, and where their values begin; ends where the object ends or is cut.

    Args:
        text: begins with the object.
    """
    position = 1
    number = 0
    try:
        while most is None or number < most:
            position = _end_of(_BETWEEN, text, position)
            if text[position] == "}":
                return
            key, position = _DECODER.raw_decode(text, position)
            position = _end_of(_COLON, text, position)
            yield str(key), position
            number += 1
            _, position = _DECODER.raw_decode(text, position)
    except (IndexError, ValueError, RecursionError):
        # Cut, or not JSON: what follows is not seen.
        return


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    if match is None:
        raise IndexError(position)
    return match.end()
