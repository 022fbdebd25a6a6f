"""What `w` writes of a view: a picture as SVG, and its curves or its table as CSV.

No PNG: the small libraries that make one of an SVG draw with the fonts of the machine, and a server often has none with
these symbols. A browser shows an SVG, and `chromium --headless --screenshot` or `rsvg-convert` make a PNG of it.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertd.terminal_text import terminal_line

if TYPE_CHECKING:
    from bertd.api.models import DeviceView, EventView, JobView, ScoreView, SeriesView

Cell = str | int | float | None
Table = Sequence[Sequence[Cell]]
"""The first row names the columns."""


def curves_table(series: SeriesView | None) -> Table:
    """A row for each x at which a curve has a point; empty cells are where one has none, or one that is not finite."""
    if series is None:
        return []
    columns = {name: dict(points) for name, points in series.columns.items()}
    xs = sorted({x for points in columns.values() for x in points})
    return [[series.x, *columns], *([x, *(points.get(x) for points in columns.values())] for x in xs)]


def jobs_table(jobs: Iterable[JobView]) -> Table:
    heads = ["id", "state", "kind", "name", "run", "priority", "progress", "reason"]
    rows = ([one.id, one.state, one.kind, one.name, one.run_id, one.priority, one.progress, one.reason] for one in jobs)
    return [heads, *rows]


def events_table(events: Iterable[EventView]) -> Table:
    return [
        ["id", "t", "type", "job", "run", "text"],
        *([e.id, e.t, e.type, e.job_id, e.run_id, e.text] for e in events),
    ]


def scores_table(scores: Iterable[ScoreView]) -> Table:
    return _records_table({"job_id": one.job_id, "run_id": one.run_id} | one.score.model_dump() for one in scores)


def devices_table(devices: Iterable[DeviceView]) -> Table:
    return _records_table(one.model_dump() for one in devices)


def _records_table(records: Iterable[dict[str, Any]]) -> Table:
    """Each record with the fields that are one value in all of them."""
    rows = list(records)
    heads = [key for key in (rows[0] if rows else {}) if all(_is_cell(row[key]) for row in rows)]
    return [heads, *([row[key] for key in heads] for row in rows)]


def _is_cell(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def write_view(name: str, *, svg: str, table: Table, folder: Path, now: float) -> list[Path]:
    """Write both into `folder` under a name with the time; CSV only if there is a table. Never replaces a file.

    Raises:
        OSError: a file cannot be written.
    """
    stem = f"bertd-{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    texts = {".svg": svg} | ({".csv": _csv_text(table)} if len(table) > 1 else {})
    written = []
    for suffix, text in texts.items():
        path = _free_path(folder, stem, suffix)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _free_path(folder: Path, stem: str, suffix: str) -> Path:
    path, number = folder / f"{stem}{suffix}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}{suffix}", number + 1
    return path


def _csv_text(table: Table) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_csv_cell(cell) for cell in row] for row in table)
    return text.getvalue()


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return terminal_line(cell) if isinstance(cell, str) else cell
