"""The run's GLUE scores in a line: of each task's newest export the best setting's median over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, Span, line
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import ScoreView


class GluePanel:
    """Draws the line; summarizes the scores only when there are new ones."""

    def __init__(self) -> None:
        self._scores: tuple[ScoreView, ...] = ()
        self._best: list[tuple[str, float]] = []

    def draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        """Scores of as many tasks as fit, then how many are left out."""
        run, charts = snapshot.run, snapshot.charts
        if run is None or height < 1:
            return []
        label = Span("GLUE  ", Role.TITLE)
        if charts.run_id != run.id:
            return [line(label, ("not known yet", Role.MUTED)).fit(width)]
        if charts.scores is not self._scores:
            self._scores, self._best = charts.scores, best_scores(charts.scores)
        if not self._best:
            hint = "f finetunes its newest export" if run.export is not None else "after its first export"
            return [line(label, (f"no score yet; {hint}", Role.MUTED)).fit(width)]
        texts = [line((f"{task} ", Role.MUTED), (f"{100 * score:.1f}", Role.STRONG)) for task, score in self._best]
        return [_as_many_as_fit(line(label), texts, options, width).fit(width)]


def best_scores(scores: Sequence[ScoreView]) -> list[tuple[str, float]]:
    """Each task's score on its newest export, as `bertd scores` counts it, in the order of its table."""
    if not scores:
        return []
    from bertd.scores.score_summary import summarize_scores  # Not before the first frame.

    newest: dict[str, tuple[str, float]] = {}
    for each in summarize_scores(scores):  # The newest export's come last.
        source, score = newest.get(each.task, ("", -1.0))
        newest[each.task] = (each.source, max(score, each.median) if source == each.source else each.median)
    return [(task, score) for task, (_, score) in newest.items()]


def _as_many_as_fit(shown: Line, texts: Sequence[Line], options: DisplayOptions, width: int) -> Line:
    dot = line(options.glyphs.dot)
    for index, text in enumerate(texts):
        num_left = len(texts) - index
        more = line((f"and {num_left} more", Role.MUTED))
        if shown.width + text.width + (0 if num_left == 1 else dot.width + more.width) > width:
            return shown + more
        shown += text + (dot if num_left > 1 else Line())
    return shown
