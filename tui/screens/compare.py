"""View of two to eight runs: over each other on one axis, and what differs between their recipes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.actions.keys import COMPARE_KEYS
from tui.comparison import AXES, MAX_COMPARED, Comparison, first_marks
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role
from tui.panels import comparison as panels
from tui.panels import footer
from tui.panels.footer import KeyHint
from tui.screens.acting import ActingScreen
from tui.screens.polling import Request
from tui.snapshot import Feed, Snapshot
from tui.widgets.cursor_list import CursorList
from tui.widgets.panel import Panel
from tui.widgets.scroller import Scroller

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesAxis, SeriesView

_HEADER_AND_FOOTER = 2
_MIN_CHART_LINES = 7


@dataclass(frozen=True)
class _Answer:
    runs: list[RunView]
    axis: SeriesAxis
    series: list[SeriesView]
    recipes: dict[str, str]


class CompareScreen(ActingScreen):
    """Asks for all runs, and for curves and recipes of those that are marked."""

    POLL_INTERVAL_S = 5.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.title, id=key.id) for key in COMPARE_KEYS
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._comparison: Comparison | None = None
        self._marked: tuple[str, ...] | None = None
        """None: nobody has chosen yet."""
        self._axis: SeriesAxis = AXES[0]
        self._column = "validation"
        self._list = CursorList[str](self._draw_runs, self._run_ids, id="compared-runs")
        self._chart = Panel(self._draw_chart, id="compared-curves")
        self._differences = Scroller(self._draw_differences, id="recipe-differences")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._list
        yield self._chart
        yield self._differences
        yield self._footer

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys move the cursor at once."""
        self._list.focus()

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot, and divide the lines."""
        super().update(snapshot, options)
        self._divide()

    def on_resize(self) -> None:
        """Divide the lines again."""
        self._divide()

    @property
    def extra_keys(self) -> footer.KeyHints:
        return (KeyHint("mark", "mark"), KeyHint("axis", "axis"), KeyHint("curve", "curve"), KeyHint("tab", "recipes"))

    def action_mark(self) -> None:
        """Compare the run under the cursor, or leave it out."""
        run_id, marked = self._list.chosen, self._marked or ()
        if run_id is None:
            return
        if run_id in marked:
            self._set_marks(tuple(id for id in marked if id != run_id))
        elif len(marked) < MAX_COMPARED:
            self._set_marks((*marked, run_id))
        else:
            self.tell(f"{MAX_COMPARED} runs are compared already; m on one of them leaves it out", Role.WAITING)

    def action_next_axis(self) -> None:
        """Draw by the next axis."""
        self._axis = AXES[(AXES.index(self._axis) + 1) % len(AXES)]
        self.poll()

    def action_other_curve(self) -> None:
        """Draw the training loss instead of the validation loss, or back."""
        self._column = "loss" if self._column == "validation" else "validation"
        self._redraw()

    def next_request(self) -> Request | None:
        """All runs, and the curves of the marked ones; recipes do not change and are asked for once."""
        known = self._comparison.recipes if self._comparison is not None else {}
        return partial(self._fetch, self._marked or (), self._axis, dict(known))

    def _fetch(self, marked: tuple[str, ...], axis: SeriesAxis, recipes: dict[str, str]) -> _Answer:
        runs = self.feed.runs()
        present = [id for id in marked if any(run.id == id for run in runs)]
        series = self.feed.several_series(present, x=axis) if present else []
        new = {id: self.feed.recipe(id).toml for id in present if id not in recipes}
        return _Answer(runs, axis, series, recipes | new)

    def receive(self, answer: object) -> bool:
        """Keep the answer; at first, choose the runs to compare and ask for them."""
        assert isinstance(answer, _Answer)
        is_first = self._marked is None
        if self._marked is None:
            shown = self._newest[0].run if self._newest is not None else None
            self._marked = first_marks(answer.runs, shown)
        self._comparison = Comparison(
            runs=tuple(answer.runs),
            marked=tuple(id for id in self._marked if any(run.id == id for run in answer.runs)),
            axis=answer.axis,
            series={each.run_id: each for each in answer.series},
            recipes=answer.recipes,
        )
        return (is_first and bool(self._marked)) or answer.axis != self._axis

    def _set_marks(self, marked: tuple[str, ...]) -> None:
        self._marked = marked
        if self._comparison is not None:
            old = self._comparison
            self._comparison = Comparison(old.runs, marked, old.axis, old.series, old.recipes)
        self._redraw()
        self.poll()

    def _redraw(self) -> None:
        if self._newest is not None:
            self.update(*self._newest)

    def _divide(self) -> None:
        """The list and the differences as long as they are, within a share; the chart gets the rest."""
        if self._newest is None:
            return
        available = self.app.size.height - _HEADER_AND_FOOTER
        num_runs = len(self._comparison.runs) if self._comparison is not None else 0
        width = max(1, self.app.size.width - 2)
        num_differences = len(panels.draw_differences(self._comparison, self._newest[1], width))
        runs = max(2, min(num_runs + 1, available // 4))
        differences = max(2, min(num_differences, available // 3, available - runs - _MIN_CHART_LINES))
        for widget, lines in (
            (self._list, runs),
            (self._chart, available - runs - differences),
            (self._differences, differences),
        ):
            if widget.styles.height is None or widget.styles.height.value != lines:
                widget.styles.height = lines

    def _run_ids(self, snapshot: Snapshot) -> list[str]:
        return [run.id for run in self._comparison.runs] if self._comparison is not None else []

    def _draw_runs(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        note = "not known yet" if snapshot.status is None else self.problem or "reading"
        return panels.draw_runs(self._comparison, options, width, note=note)

    def _draw_chart(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        problem = self.problem if snapshot.link.is_fresh and self._comparison is not None else ""
        return panels.draw_chart(self._comparison, options, width, height, column=self._column, problem=problem)[
            :height
        ]

    def _draw_differences(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        return panels.draw_differences(self._comparison, options, width)
