"""Keep the rows of a table whose other columns meet conditions, such as `language_score > 0.9`.

A column is named as the table has it, one within another with a dot; one that is not there is looked for in `metadata`,
where datatrove writes what it measured.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bertd.data.sources.readers.left_out import SkipReason
from bertd.errors import CorpusError

_CONDITION = re.compile(r"\s*(?P<column>[^\s=!<>]+)\s*(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>\S.*?)\s*")
_OPERATORS: dict[str, Callable[[object, object], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,  # type: ignore[dict-item]  # of two numbers or two texts, which `holds` sees to
    "<=": operator.le,  # type: ignore[dict-item]  # as above
    ">": operator.gt,  # type: ignore[dict-item]  # as above
    ">=": operator.ge,  # type: ignore[dict-item]  # as above
}
_METADATA = "metadata"


@dataclass(frozen=True)
class Condition:
    """One comparison of a column with a number or a text."""

    column: str
    operator: str
    value: float | str

    def holds(self, value: object) -> bool:
        """Whether a value meets it; a text is compared with a number as the number that it spells, if it does."""
        if isinstance(value, bool):
            value = str(value).lower()
        if isinstance(self.value, str):
            return isinstance(value, (str, int, float)) and _OPERATORS[self.operator](str(value), self.value)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return self.operator == "!="
        return isinstance(value, (int, float)) and _OPERATORS[self.operator](float(value), self.value)


@dataclass(frozen=True)
class RowFilter:
    """Conditions that a row must meet, all of them."""

    conditions: tuple[Condition, ...] = ()

    def skip_reason(self, record: Mapping[str, object]) -> SkipReason | None:
        """Why a row is left out; None for one that is kept."""
        for condition in self.conditions:
            value = _look_up(record, condition.column)
            if value is None:
                return SkipReason.NO_COLUMN
            if not condition.holds(value):
                return SkipReason.NOT_WHERE
        return None

    def paths(self, *, has_path: Callable[[str], bool], place: str, columns: Iterable[str]) -> tuple[str, ...]:
        """The columns that a table has to be read for.

        Args:
            has_path: whether the table has a column, or one within another.
            place: name of the source, for the user.
            columns: the table's, for the user.

        Raises:
            CorpusError: it lacks one.
        """
        paths = []
        for condition in self.conditions:
            names = (condition.column, f"{_METADATA}.{condition.column}")
            found = next(filter(has_path, names), None)
            if found is None:
                raise CorpusError(
                    f"{place}: no column {condition.column!r}, which --where names; it has {', '.join(columns)}"
                )
            paths.append(found)
        return tuple(dict.fromkeys(paths))


def parse_condition(text: str) -> Condition:
    """A condition such as `language_score > 0.9` or `language == "de"`.

    Raises:
        ValueError: it is not one.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a condition; write a column, one of {' '.join(_OPERATORS)} and a value, such as "
            "'language_score > 0.9'"
        )
    value = match["value"]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return Condition(match["column"], match["operator"], value[1:-1])
    try:
        return Condition(match["column"], match["operator"], float(value))
    except ValueError:
        return Condition(match["column"], match["operator"], value)


def _look_up(record: Mapping[str, object], column: str) -> object:
    if column in record:
        return record[column]
    value: object = record
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None and isinstance(metadata := record.get(_METADATA), Mapping):
        return _look_up(metadata, column)
    return value
