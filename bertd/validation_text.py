"""What pydantic found wrong with a value, in words for the person who wrote it."""

from __future__ import annotations

import re
from typing import Any

_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_EXPECTED_BY_TYPE = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text in quotes",
    "tuple_type": "a list in [ ]",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def describe_problem(detail: Any) -> str:
    """One entry of `ValidationError.errors()` as the end of a sentence about the value, such as `give a number`.

    Args:
        detail: pydantic's dict, whose type is private to it for fastapi's error.
    """
    kind, context = str(detail["type"]), detail.get("ctx") or {}
    for key, words in _BOUNDS.items():
        if key in context:
            return f"give a number {words} {context[key]:,}"
    if kind in _EXPECTED_BY_TYPE:
        return f"give {_EXPECTED_BY_TYPE[kind]}"
    if kind in ("literal_error", "enum"):
        return f"give {context['expected']}"
    if kind == "string_pattern_mismatch" and context.get("pattern") == _NAME_PATTERN:
        return "give up to 64 letters, digits, dots, dashes and underscores; the first is a letter or a digit"
    if kind in ("string_too_short", "too_short"):
        return f"give at least {context['min_length']} of them" if kind == "too_short" else "it is empty; give a text"
    if kind in ("string_too_long", "too_long"):
        return f"give at most {context['max_length']}{' characters' if kind == 'string_too_long' else ' of them'}"
    if kind == "missing":
        return "it is missing; add it"
    if kind == "extra_forbidden":
        return "it is unknown; leave it out"
    if kind == "json_invalid":
        return f"not JSON: {context.get('error', 'it cannot be read')}"
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return re.sub(r"^Input should be ", "give ", message)
