"""Dialog that chooses what the run is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from bertd.errors import BertdError
from bertd.records import JobKind
from bertd.terminal_text import terminal_line
from tui.charts.reference import PUBLISHED, Reference
from tui.widgets.form_error import FormError

if TYPE_CHECKING:
    from bertd.api.models import JobView

_NOTHING = "nothing"


class ReferenceDialog(ModalScreen[Reference | None]):
    """Returns the chosen reference, None for nothing; a dialog that is cancelled returns the one from before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    def __init__(
        self,
        runs: Sequence[JobView],
        read: Callable[[str, str], Reference],
        *,
        before: Reference | None,
    ) -> None:
        """
        Args:
            runs: pretrainings to choose from.
            read: requests the curve of a run by its id, with the name it is to have. Blocks.
        """
        super().__init__()
        self._runs = {job.run_id: job for job in runs}
        self._keys = [_NOTHING, PUBLISHED.key, *self._runs]
        self._read = read
        self._before = before
        self._at = self._keys.index(before.key) if before is not None and before.key in self._keys else 0
        self._rows = [Static(markup=False) for _ in self._keys]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static("Compare with, at the same share of the budget", classes="dialog-title")
            with VerticalScroll(classes="choices"):
                yield from self._rows
            yield FormError()
            yield Static("up, down: choose, enter: compare, esc: leave as it is", classes="dialog-note")

    def on_mount(self) -> None:
        """Draw the choices."""
        self.action_move(0)

    def action_move(self, by: int) -> None:
        """Choose another one."""
        self._at = min(len(self._keys) - 1, max(0, self._at + by))
        for index, (row, key) in enumerate(zip(self._rows, self._keys, strict=True)):
            row.update(f"{'>' if index == self._at else ' '} {self._text(key)}")
        self._rows[self._at].scroll_visible(animate=False)

    def action_cancel(self) -> None:
        """Leave the reference as it was."""
        self.dismiss(self._before)

    @work(group="reference", exclusive=True)
    async def action_choose(self) -> None:
        """Return the chosen reference, or show why there is none."""
        key = self._keys[self._at]
        if key == _NOTHING:
            self.dismiss(None)
            return
        if key == PUBLISHED.key:
            self.dismiss(PUBLISHED)
            return
        try:
            reference = await asyncio.to_thread(self._read, key, key)
        except BertdError as error:
            self.query_one(FormError).show_message(str(error))
            return
        if len(reference.points) < 2:
            self.query_one(FormError).show_message(f"{key} has fewer than two validations; choose another run.")
            return
        self.dismiss(reference)

    def _text(self, key: str) -> str:
        if key == _NOTHING:
            return "nothing"
        if key == PUBLISHED.key:
            return "24hBERT, as published: four points from figure 2 and table 3 of the paper"
        job = self._runs[key]
        return terminal_line(f"{key}  {job.state}")


def comparable_runs(jobs: Sequence[JobView], *, shown_run_id: str) -> list[JobView]:
    """Pretrainings that have trained, besides the shown one, newest first."""
    trained = [
        job for job in jobs if job.kind is JobKind.PRETRAIN and job.started_t is not None and job.run_id != shown_run_id
    ]
    return sorted(trained, key=lambda job: -job.id)
