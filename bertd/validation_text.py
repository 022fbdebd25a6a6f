"""What pydantic found wrong with a value, in words for the person who wrote it."""

from __future__ import annotations

import difflib
import re
import reprlib
from typing import TYPE_CHECKING, Any, cast, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

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
_MAX_MISTAKES = 8
"""Mistakes that a message names."""
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


def describe_mistakes(error: ValidationError, *, name: str, model: type[BaseModel]) -> str:
    """The first mistakes of a TOML file on one line: file, section, key, value, remedy; for each key only the first.

    Args:
        name: of the file.
        model: of the file: its fields are the sections, whose fields are the keys.
    """
    messages: dict[object, str] = {}
    for detail in error.errors():
        key, words = detail["loc"][:2], detail.get("ctx", {}).get("expected")
        if key not in messages:
            # A message takes a look at all known names: not for mistakes that are only counted.
            messages[key] = _describe_mistake(detail, name=name, model=model) if len(messages) < _MAX_MISTAKES else ""
        elif words and detail["type"] == "literal_error":
            # A key that takes a number or a word reports an error for each type.
            messages[key] += f", or {words}"
    shown = list(messages.values())[:_MAX_MISTAKES]
    rest = f"; and {len(messages) - len(shown):,} more mistakes" if len(messages) > len(shown) else ""
    return "; ".join(shown) + rest


def _describe_mistake(detail: object, *, name: str, model: type[BaseModel]) -> str:
    assert isinstance(detail, dict)
    location = [str(part) for part in detail["loc"]]
    message = describe_problem(detail)
    section = f"{name}: [{location[0]}]" if location else name
    if len(location) > 1 and isinstance(detail["loc"][1], int):
        section = f"{name}: [[{location[0]}]] number {detail['loc'][1] + 1}"
        del location[1]
    if detail["type"] == "tuple_type" and len(location) == 1:
        return f"{name}: {location[0]} is a list of tables; write [[{location[0]}]] and its keys for each"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        if len(location) == 1:
            return f"{name}: unknown section {reprlib.repr(location[0])}; {hint}known: {', '.join(known)}"
        return f"{section}: unknown key {reprlib.repr(location[-1])}; {hint}known: {', '.join(known)}"
    if detail["type"] == "model_type":
        return (
            f"{section}: {reprlib.repr(detail['input'])} is not a section; write [{location[0]}] and its keys below it"
        )
    if detail["type"] == "missing" and len(location) > 2:
        return f"{section}: {location[1]}: value number {int(location[2]) + 1} is missing; add it"
    if detail["type"] == "missing":
        what = f"key {location[-1]!r} is missing" if len(location) > 1 else "the section is missing"
        return f"{section}: {what}; add it"
    if len(location) > 1:
        # Of a value that is itself a table, the key in it: pydantic gives the form of the value before it.
        within = location[3:4] if detail["loc"][2:3] == ("weights",) else []
        return f"{section}: {'.'.join([location[1], *within])} = {reprlib.repr(detail['input'])}: {message}"
    return f"{section}: {message}"


def _known_keys(model: type[BaseModel], location: list[str]) -> list[str]:
    if not location:
        return list(model.model_fields)
    annotation = model.model_fields[location[0]].annotation
    # Of a list of tables, the model of one of them.
    row = next(iter(get_args(annotation)), annotation)
    return list(cast("type[BaseModel]", row).model_fields)
