"""Which lines of a log are shown: those of one rank, those of a level. Pure.

The ranks of a run write into one log, without a prefix of their own. A line is of a rank if it names it, as bertd's
(`rank 3: ...`) and torch's (`[rank3]: ...`) do; a line that names none is of no rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_RANK = re.compile(r"\brank ?(\d{1,4})\b", re.IGNORECASE)
_ERROR = re.compile(r"\b(?:ERROR|CRITICAL|FATAL|Traceback)\b|\b\w*(?:Error|Exception)\b|\berror:", re.ASCII)
_WARNING = re.compile(r"\bWARN(?:ING)?\b|\b\w*Warning\b|\bwarning:", re.ASCII)


class Level(StrEnum):
    """The least serious lines that are shown."""

    ALL = "all"
    WARNINGS = "warnings and errors"
    ERRORS = "errors"


@dataclass(frozen=True)
class LogFilter:
    """What is shown."""

    rank: int | None = None
    """None for all lines."""
    level: Level = Level.ALL

    @property
    def text(self) -> str:
        """As a person reads it; empty if all lines are shown."""
        parts = [] if self.rank is None else [f"rank {self.rank}"]
        return ", ".join([*parts, *([] if self.level is Level.ALL else [str(self.level)])])

    def shows(self, line: str) -> bool:
        """Whether a line is shown."""
        if self.rank is not None and self.rank not in ranks_of(line):
            return False
        if self.level is Level.ALL:
            return True
        is_error = _ERROR.search(line) is not None
        return is_error or (self.level is Level.WARNINGS and _WARNING.search(line) is not None)

    def with_next_level(self) -> LogFilter:
        """All lines, then warnings and errors, then errors."""
        levels = list(Level)
        return LogFilter(self.rank, levels[(levels.index(self.level) + 1) % len(levels)])

    def with_next_rank(self, lines: Iterable[str]) -> LogFilter:
        """The next rank that these lines name; after the last one all."""
        ranks = sorted({rank for line in lines for rank in ranks_of(line)})
        return LogFilter(next((rank for rank in ranks if self.rank is None or rank > self.rank), None), self.level)


def ranks_of(line: str) -> list[int]:
    """The ranks that a line names."""
    return [int(number) for number in _RANK.findall(line)]
