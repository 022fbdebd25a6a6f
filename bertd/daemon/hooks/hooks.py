"""Call the configured hooks for new rows of the event log, and write what became of each delivery into it.

All methods run on the daemon's thread and never wait, except `stop`; a thread per hook delivers. Only events that were
written since the daemon's start call hooks. What a daemon that is killed had not delivered is not delivered by the next
one: the event log still has the event.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from bertd.api.models import EventView, HookOutcomeView, HookTestView, HookView
from bertd.daemon.configuration.schema import HookSection
from bertd.daemon.hooks.attempts import attempt_by
from bertd.daemon.hooks.hook_events import OUTCOME_TYPE, TEST_TYPE, HookEvent, delivery, hook_event
from bertd.daemon.hooks.hook_worker import MAX_WAITING, Attempt, HookWorker
from bertd.daemon.hooks.retries import Outcome
from bertd.errors import UnknownHookError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.row_filters import EventFilter

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0
"""How long a stop of the daemon waits for what hooks still deliver."""
_KILL_TIMEOUT_S = 1.0
_PAGE = 500
"""Events that are looked at in one round."""
_MAX_UNWRITTEN = 1_000
"""Outcomes that are kept while the disk refuses the event log."""
_NUM_EARLIER_OUTCOMES = 200
"""Rows that are read at the start, for the newest outcome of each hook."""
_NEWEST_ID = 1 << 62


@dataclass
class _ActiveHook:
    section: HookSection
    worker: HookWorker
    num_dropped: int = 0
    """Since the last delivery that was not dropped."""


@dataclass(frozen=True)
class _Note:
    """A row for the event log."""

    hook: str
    text: str
    outcome: HookOutcomeView | None


class Hooks:
    """The hooks that are configured now."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        configured: Callable[[], Sequence[HookSection]],
        attempt_by: Callable[[HookSection], Attempt] = attempt_by,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin after the newest event. `configured` gives the hooks that apply now; see `advance`."""
        self._database = database
        self._events = events
        self._configured = configured
        self._attempt_by = attempt_by
        self._clock = clock
        self._seen_id = events.last_id()
        self._active: dict[str, _ActiveHook] = {}
        self._unwritten: list[_Note] = []
        self._newest, self._newest_test = self._read_earlier_outcomes()

    def advance(self) -> None:
        """One round: apply a changed configuration, hand new events to hooks, write what became of earlier ones.

        Raises:
            StorageError: the event log cannot be written; the next round tries again.
        """
        self._apply_configuration()
        rows = self._events.since(self._seen_id, limit=_PAGE)
        for row in rows:
            self._hand_over(row)
            self._seen_id = row.id
        self._collect()
        self._write()

    def views(self) -> list[HookView]:
        """Each hook of the configuration with its newest outcome."""
        return [
            HookView(
                name=hook.name,
                kind=hook.kind,
                target=hook.target,
                events=[str(event) for event in hook.on],
                is_signed=hook.secret_file is not None,
                num_waiting=self._active[hook.name].worker.num_waiting if hook.name in self._active else 0,
                newest=self._newest.get(hook.name),
                newest_test=self._newest_test.get(hook.name),
            )
            for hook in self._configured()
        ]

    def request_test(self, name: str, *, asked_by: str, now: float) -> HookTestView:
        """Write the event that calls one hook, within the caller's transaction.

        Raises:
            UnknownHookError: no hook has this name.
        """
        by_name = {hook.name: hook for hook in self._configured()}
        if name not in by_name:
            known = ", ".join(by_name) or "none; docs/hooks.md says how to configure one"
            raise UnknownHookError(f"{name}: no such hook; there are: {known}")
        text = f"test of hook {name}, asked for by {asked_by}"
        id = self._events.append(TEST_TYPE, text, now=now, job_id=None, run_id=None, data={"hook": name})
        return HookTestView(hook=name, event_id=id, timeout_s=by_name[name].timeout_s)

    async def stop(self) -> None:
        """Have the hooks deliver what waits, for at most STOP_TIMEOUT_S, and write what became of it."""
        try:
            self.advance()
        finally:
            ending = dict(self._active)
            for active in ending.values():
                active.worker.finish()
            await _join(ending.values(), timeout_s=STOP_TIMEOUT_S)
            for name in ending:
                self._end(name, why="the daemon ends")
            # Long enough to kill programs; an HTTP request that hangs dies with the daemon.
            await _join(ending.values(), timeout_s=_KILL_TIMEOUT_S)
        for name, active in ending.items():
            self._collect_from(name, active)
        self._write()

    # ---- Rounds ------------------------------------------------------------------------------------

    def _apply_configuration(self) -> None:
        configured = {hook.name: hook for hook in self._configured()}
        for name, active in list(self._active.items()):
            if configured.get(name) != active.section:
                self._end(name, why="its configuration was changed")
        for name, section in configured.items():
            if name not in self._active:
                self._active[name] = _ActiveHook(section, HookWorker(name, self._attempt_by(section)))

    def _end(self, name: str, *, why: str) -> None:
        active = self._active.pop(name)
        self._collect_from(name, active)
        if num_dropped := active.worker.cancel() + active.num_dropped:
            self._note(_Note(name, f"hook {name}: dropped events: {num_dropped}, because {why}", None))

    def _hand_over(self, row: EventView) -> None:
        event = hook_event(row)
        if event is None:
            return
        for name, active in self._active.items():
            is_wanted = row.data.get("hook") == name if event is HookEvent.TEST else event in active.section.on
            if not is_wanted:
                continue
            if active.worker.offer(delivery(row, event, hook=name)):
                self._note_end_of_drops(name, active)
                continue
            active.num_dropped += 1
            if active.num_dropped == 1:
                text = f"hook {name}: events are dropped, because {MAX_WAITING} wait for it already"
                self._note(_Note(name, text, None))

    def _note_end_of_drops(self, name: str, active: _ActiveHook) -> None:
        if active.num_dropped:
            self._note(_Note(name, f"hook {name}: events are taken again; dropped before: {active.num_dropped}", None))
            active.num_dropped = 0

    def _collect(self) -> None:
        for name, active in self._active.items():
            self._collect_from(name, active)

    def _collect_from(self, name: str, active: _ActiveHook) -> None:
        for outcome in active.worker.collect():
            view = _view(outcome, t=self._clock())
            self._remember(name, view)
            self._note(_Note(name, _outcome_text(name, view), view))

    def _remember(self, name: str, view: HookOutcomeView) -> None:
        (self._newest_test if view.event == HookEvent.TEST else self._newest)[name] = view

    def _note(self, note: _Note) -> None:
        if len(self._unwritten) < _MAX_UNWRITTEN:
            self._unwritten.append(note)
        if note.outcome is None or not note.outcome.is_delivered:
            logger.warning("%s", note.text)

    def _write(self) -> None:
        if not self._unwritten:
            return
        now = self._clock()
        with self._database.transaction():
            for note in self._unwritten:
                outcome = {} if note.outcome is None else {"outcome": note.outcome.model_dump(mode="json")}
                data: dict[str, object] = {"hook": note.hook, **outcome}
                self._events.append(OUTCOME_TYPE, note.text, now=now, job_id=None, run_id=None, data=data)
        self._unwritten.clear()

    def _read_earlier_outcomes(self) -> tuple[dict[str, HookOutcomeView], dict[str, HookOutcomeView]]:
        """By hook: the newest outcome that an earlier daemon wrote, of an event and of a test."""
        newest: dict[str, HookOutcomeView] = {}
        newest_test: dict[str, HookOutcomeView] = {}
        where = EventFilter(types=(OUTCOME_TYPE,))
        for row in reversed(self._events.page(before=_NEWEST_ID, limit=_NUM_EARLIER_OUTCOMES, where=where)):
            name, stored = row.data.get("hook"), row.data.get("outcome")
            if isinstance(name, str) and stored is not None:
                try:
                    view = HookOutcomeView.model_validate(stored)
                except ValidationError:
                    # A flipped bit on the disk, or another version.
                    continue
                (newest_test if view.event == HookEvent.TEST else newest)[name] = view
        return newest, newest_test


async def _join(ending: Iterable[_ActiveHook], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for active in ending:
        await asyncio.to_thread(active.worker.join, timeout_s=max(0.0, deadline - time.monotonic()))


def _view(outcome: Outcome, *, t: float) -> HookOutcomeView:
    return HookOutcomeView(
        t=t,
        event=str(outcome.event),
        event_id=outcome.event_id,
        is_delivered=outcome.is_delivered,
        detail=outcome.detail,
        num_attempts=outcome.num_attempts,
    )


def _outcome_text(name: str, view: HookOutcomeView) -> str:
    attempts = f" in {view.num_attempts} attempts" if view.num_attempts > 1 else ""
    verdict = "delivered" if view.is_delivered else "failed"
    return f"hook {name}: {view.event} of event {view.event_id} {verdict}{attempts}: {view.detail}"
