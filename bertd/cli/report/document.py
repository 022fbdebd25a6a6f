"""What a report holds, whatever it is written as: sections of paragraphs, tables, charts and commands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first column names the row."""

    caption: str
    """What the table shows, for a screen reader too."""
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    """Columns that are aligned to the right."""


@dataclass(frozen=True)
class Series:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]
    """By rising x; a NaN parts it."""
    is_faint: bool = False
    """Raw values behind a smoothed curve."""
    has_dots: bool = False
    """Each point is shown: there are few."""

    def finite_values(self) -> list[float]:
        """Without the gaps."""
        return [y for _, y in self.points if math.isfinite(y)]


@dataclass(frozen=True)
class Mark:
    """An event at a place of the x axis."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Curves over one axis."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    is_x_share: bool = False
    """x is a share, 0..1, and is written in percent."""
    is_y_share: bool = False


@dataclass(frozen=True)
class Bar:
    """Parts of a whole, each with its amount as text."""

    title: str
    parts: Sequence[tuple[str, float, str]]
    """Name, share 0..1, amount."""


@dataclass(frozen=True)
class Code:
    """Text that is written as it is: a recipe, commands."""

    caption: str
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


Block: TypeAlias = Table | Chart | Bar | Code | Paragraph


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; one without blocks is left out."""

    title: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default=())

    def filled_sections(self) -> list[Section]:
        """Those that hold something."""
        return [section for section in self.sections if section.blocks]
