"""What the charts of the shown run are drawn from, besides its curves over the whole run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.api.models import EventView, ScoreView, SeriesView
    from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class ChartData:
    """Of one run; empty before the daemon was asked."""

    run_id: str = ""
    zoomed: SeriesView | None = None
    """The curves in the chosen window, in more detail."""
    events: tuple[EventView, ...] = field(default=())
    """The run's own, oldest first, of the types that a chart marks."""
    scores: tuple[ScoreView, ...] = field(default=())
    """Of its finetunings, newest first."""
    recipe: Recipe | None = None
    """None where this version cannot read it."""
