"""One measured figure beside its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ScaleFigure:
    """One line of the result."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    """None for a figure that only explains another."""
    bound: Literal["at most", "at least"] = "at most"

    @property
    def is_missed(self) -> bool:
        """Whether there is a limit that the value, perhaps not a number, does not keep."""
        if self.limit is None:
            return False
        return not (self.value <= self.limit if self.bound == "at most" else self.value >= self.limit)

    def line(self) -> str:
        """The figure as text."""
        goal = "" if self.limit is None else f"   {self.bound} {self.limit:g}: {'MISSED' if self.is_missed else 'met'}"
        return f"{self.name:58} {self.value:10.3g} {self.unit:12}{goal}".rstrip()
