"""The Textual application: keys and palette on top, one flush a second from the feed to the screen.

Nothing here waits for the daemon: the feed works in its own thread, an action runs in another, and widgets are told
the newest state once a second, however many steps the training made.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

from rich.console import RenderableType
from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from bertd.errors import BertdError
from bertd.records import JobState, JobView, RunView, SubmitFinetune
from bertd.terminal_text import terminal_line
from tui.look import Look
from tui.narrow_update import narrowed
from tui.screens.finetune import FinetuneForm
from tui.screens.help import HelpScreen
from tui.screens.run import RunScreen
from tui.screens.stop import StopDialog
from tui.snapshot import Feed, Snapshot
from tui.theme import THEME

FLUSH_S = 1.0
"""How often the newest state reaches the screen."""
EAGER_S = 0.1
"""The same until the daemon has answered once."""


class Dashboard(App[None]):
    """bert-tui on a terminal."""

    CSS_PATH = "app.tcss"
    TITLE = "bertd"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause_or_resume", "Pause or resume", id="pause"),
        Binding("c", "checkpoint", "Checkpoint", id="checkpoint"),
        Binding("f", "finetune", "Finetune", id="finetune"),
        Binding("S", "stop", "Stop", id="stop"),
        Binding("n", "next_run", "Next run", id="next-run"),
        Binding("y", "toggle_log", "Logarithmic loss", id="log-loss"),
        Binding("z", "toggle_zoom", "Whole budget or what is spent", id="zoom"),
        Binding("question_mark,h,f1", "show_help", "Help", id="help"),
        Binding("q,ctrl+q", "quit", "Quit", id="quit", priority=False),
    ]

    def __init__(self, feed: Feed, *, look: Look) -> None:
        # Said here too, because Textual decides now how NO_COLOR is honoured: without colours rather than in greys.
        super().__init__(ansi_color=True)
        self._feed = feed
        self._look = look
        self._run_screen = RunScreen()
        self._snapshot: Snapshot | None = None
        self.register_theme(THEME)
        self.theme = THEME.name

    # ---- From the feed to the screen ---------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """The Run screen is there from the first frame."""
        return self._run_screen

    def on_load(self) -> None:
        """Begin to follow the daemon; what is known by now is in the first layout."""
        self._feed.start()
        self.show_newest()

    def on_mount(self) -> None:
        """Show the newest state from now on; give the terminal back when told to end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._eager = self.set_interval(EAGER_S, self._show_until_known)
        self.set_interval(FLUSH_S, self.show_newest)

    def on_unmount(self) -> None:
        """Leave the daemon alone."""
        self._feed.close()

    def _show_until_known(self) -> None:
        self.show_newest()
        if self._snapshot is not None and self._snapshot.status is not None:
            self._eager.stop()

    def show_newest(self) -> None:
        """Bring the newest state to the screen."""
        self._snapshot = self._feed.snapshot()
        with self.batch_update():
            self._run_screen.update(self._snapshot, self._look)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        super()._display(screen, narrowed(renderable))

    def _relook(self, look: Look) -> None:
        self._look = look
        self.show_newest()

    # ---- Acting ------------------------------------------------------------------------------------

    def action_pause_or_resume(self) -> None:
        """Pause the run that is shown, or take it up again."""
        run = self._run_to_act_on()
        if run is None:
            return
        if run.state is JobState.PAUSED:
            self._ask(f"{run.id}: resume", lambda: self._feed.resume(run.job_id))
        else:
            self._ask(f"{run.id}: pause", lambda: self._feed.pause(run.job_id))

    def action_checkpoint(self) -> None:
        """Save at the next step."""
        run = self._run_to_act_on()
        if run is not None:
            self._ask(f"{run.id}: checkpoint", lambda: self._feed.checkpoint(run.job_id))

    def action_stop(self) -> None:
        """End the run for good, once its name was typed."""
        run = self._run_to_act_on()
        if run is None:
            return

        def stop(is_confirmed: bool | None) -> None:
            if is_confirmed:
                self._ask(f"{run.id}: stop", lambda: self._feed.stop(run.job_id))

        self.push_screen(StopDialog(run), stop)

    def action_finetune(self) -> None:
        """Queue a finetuning of the run's newest export."""
        run = self._run_to_act_on()
        if run is None:
            return

        def submit(job: SubmitFinetune | None) -> None:
            if job is not None:
                self._ask(f"{run.id}: finetune {job.task}", lambda: self._feed.submit(job))

        self.push_screen(FinetuneForm(run), submit)

    def _run_to_act_on(self) -> RunView | None:
        """The run that is shown, unless nothing may be done or there is none; then says so."""
        if self._look.is_readonly:
            self._say("This view is read-only; start bert-tui without --readonly to act.", severity="warning")
            return None
        run = self._snapshot.run if self._snapshot else None
        if run is None:
            self._say("There is no run to act on.", severity="warning")
        return run

    @work(group="acting")
    async def _ask(self, what: str, call: Callable[[], JobView]) -> None:
        """Ask the daemon off the screen's thread, and say what came of it."""
        try:
            job = await asyncio.to_thread(call)
        except BertdError as error:
            self._say(f"{what}: {error}", severity="error")
        else:
            self._say(f"{what}: {job.state}{f', {job.reason}' if job.reason else ''}")
        self.show_newest()

    def _say(self, text: str, *, severity: str = "information") -> None:
        level = severity if severity in ("warning", "error") else "information"
        self.notify(terminal_line(text), severity=level, markup=False)  # type: ignore[arg-type]  # a closed set

    # ---- Looking -----------------------------------------------------------------------------------

    def action_next_run(self) -> None:
        """Show the next run."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.run is None or snapshot.status is None:
            return
        ids = [run.id for run in snapshot.status.runs]
        self._feed.choose(ids[(ids.index(snapshot.run.id) + 1) % len(ids)])
        self.show_newest()

    def action_toggle_log(self) -> None:
        """Loss on a logarithmic axis, or not."""
        self._relook(replace(self._look, log_y=not self._look.log_y))

    def action_toggle_zoom(self) -> None:
        """The whole budget on the x axis, or the part that is spent."""
        self._relook(replace(self._look, whole_budget=not self._look.whole_budget))

    def action_show_help(self) -> None:
        """Every key."""
        self.push_screen(HelpScreen())

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action by name, for the palette."""
        yield SystemCommand(
            "Pause or resume", "Pause the run at its next step, or take it up again", self.action_pause_or_resume
        )
        yield SystemCommand("Checkpoint", "Save at the next step", self.action_checkpoint)
        yield SystemCommand("Finetune", "Queue a finetuning of the newest export", self.action_finetune)
        yield SystemCommand("Stop", "Save, export and end the run for good", self.action_stop)
        yield SystemCommand("Next run", "Show another run", self.action_next_run)
        yield SystemCommand("Logarithmic loss", "Switch the loss axis", self.action_toggle_log)
        yield SystemCommand("Whole budget", "Switch the x axis", self.action_toggle_zoom)
        yield SystemCommand("Help", "Every key", self.action_show_help)
        yield SystemCommand("Quit", "Close this view; training keeps running", self.action_quit)
