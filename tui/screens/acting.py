"""Base class of polling views with actions of their own: asked about, sent in another thread, answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual import work
from textual.timer import Timer

from bertd.errors import BertdError
from bertd.terminal_text import terminal_line
from tui.actions.allowed_actions import refusal_of_all
from tui.actions.host_text import on_host
from tui.drawing.lines import Role
from tui.screens.base import Message
from tui.screens.polling import PollingScreen
from tui.snapshot import Feed

_ANSWER_S = 8.0
"""How long an answer stays in place of the keys."""


class ActingScreen(PollingScreen):
    """Sends one request at a time and shows what became of it in place of the keys."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._answer_timer: Timer | None = None

    def tell(self, text: str, role: Role = Role.STRONG) -> None:
        """Show a text in place of the keys for a while."""
        self.show_message(Message(terminal_line(text), role))
        if self._answer_timer is not None:
            self._answer_timer.stop()
        self._answer_timer = self.set_timer(_ANSWER_S, lambda: self.show_message(None))

    def is_refused(self) -> bool:
        """Whether nothing can be done now; says why."""
        problem = refusal_of_all(*self._newest) if self._newest is not None else "Nothing is known yet; try again."
        if problem:
            self.tell(problem, Role.WAITING)
        return bool(problem)

    async def ask(self, question: str, *, verb: str, consequence: str, call: Callable[[], str]) -> None:
        """Send a request if the user chooses it; `call` runs in another thread and returns the answer as text."""
        from tui.screens.confirm import ConfirmDialog

        def act(is_chosen: bool | None) -> None:
            if is_chosen:
                self.send(f"{question.removesuffix('?')}", call)

        asked = on_host(question, self._newest[0].host) if self._newest is not None else question
        await self.app.push_screen(ConfirmDialog(question=asked, verb=verb, consequence=consequence), act)

    @work(group="acting")
    async def send(self, what: str, call: Callable[[], str]) -> None:
        """Send a request in another thread, then show its answer."""
        self.tell(f"{what}: sent, waiting for the answer")
        try:
            answer = await asyncio.to_thread(call)
        except BertdError as error:
            self.tell(f"{what}: {error}", Role.BAD)
        else:
            self.tell(f"{what}: {answer}")
        self.poll()
