"""The hooks of a configuration: events go to those who are on them, outcomes into the event log, none waits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.models import EventView
from bertd.daemon.configuration.schema import HookSection
from bertd.daemon.hooks.hook_events import Delivery
from bertd.daemon.hooks.hook_worker import MAX_WAITING, Attempt
from bertd.daemon.hooks.hooks import Hooks
from bertd.daemon.hooks.signature import sign
from bertd.errors import UnknownHookError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from tests.daemon.hooks.http_server import HookServer
from tests.waiting import PATIENCE_S, wait_for


def hook(name: str, *on: str, **keys: object) -> HookSection:
    target = {} if keys.keys() & {"url", "unix"} else {"command": ["/bin/true"]}
    return HookSection.model_validate_json(json.dumps({"name": name, "on": on or ("failed",), **target, **keys}))


class HooksBox:
    """Hooks over a queue of their own, with deliveries that the test makes."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "queue.db")
        self.events = EventLog(self.database)
        self.configured: list[HookSection] = []
        self.delivered: list[tuple[str, Delivery]] = []
        self.hanging: set[str] = set()
        """Hooks whose deliveries wait until they are cancelled."""
        self.hung = threading.Event()
        self.hooks = self.make()

    def make(self) -> Hooks:
        return Hooks(
            self.database,
            self.events,
            configured=lambda: self.configured,
            attempt_by=self._attempt_by,
            clock=lambda: 9.0,
        )

    def _attempt_by(self, section: HookSection) -> Attempt:
        def attempt(delivery: Delivery, is_cancelled: threading.Event) -> str:
            if section.name in self.hanging:
                self.hung.set()
                is_cancelled.wait(PATIENCE_S)
            self.delivered.append((section.name, delivery))
            return "took it"

        return attempt

    def happen(self, state: str = "failed", *, times: int = 1) -> None:
        with self.database.transaction():
            for _ in range(times):
                self.events.append("job", "x", now=1.0, job_id=7, run_id="7-x", data={"state": state})

    def notes(self) -> list[EventView]:
        return [event for event in self.events.newest(1000) if event.type == "hook"]

    def advance_until_notes(self, number: int) -> list[str]:
        """Rounds of the daemon until the event log has so many rows of hooks; their texts."""

        def has_all() -> bool:
            self.hooks.advance()
            return len(self.notes()) >= number

        wait_for(has_all, what=f"{number} rows of hooks in {[note.text for note in self.notes()]}")
        return [note.text for note in self.notes()]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[HooksBox]:
    made = HooksBox(tmp_path)
    yield made
    made.configured = []
    made.hooks.advance()
    made.database.close()


def test_an_event_calls_the_hooks_that_are_on_it_and_the_outcome_is_in_the_event_log(box: HooksBox) -> None:
    box.configured = [hook("mail", "failed"), hook("panel", "done")]
    box.happen("failed")
    assert box.advance_until_notes(1) == ["hook mail: failed of event 1 delivered: took it"]
    assert [(name, sent.event_id) for name, sent in box.delivered] == [("mail", 1)]
    [mail, panel] = box.hooks.views()
    assert mail.newest is not None and (mail.newest.is_delivered, mail.newest.event_id) == (True, 1)
    assert panel.newest is None


def test_events_of_before_the_start_call_nobody_and_earlier_outcomes_are_known(box: HooksBox) -> None:
    box.configured = [hook("mail")]
    box.happen()
    box.advance_until_notes(1)
    box.hooks, former = box.make(), box.hooks
    box.hooks.advance()
    box.happen()
    box.advance_until_notes(2)
    assert [sent.event_id for _, sent in box.delivered] == [1, 3]
    asyncio.run(former.stop())
    [view] = box.make().views()
    assert view.newest is not None and view.newest.event_id == 3


def test_a_hook_that_hangs_delays_no_round_and_no_other_hook(box: HooksBox) -> None:
    box.configured = [hook("stuck"), hook("mail")]
    box.hanging = {"stuck"}
    box.happen(times=3)
    texts = box.advance_until_notes(3)
    assert all("hook mail" in text for text in texts)
    assert box.hung.is_set() and box.hooks.views()[0].num_waiting == 2


def test_a_flood_of_events_is_dropped_with_one_note(box: HooksBox) -> None:
    box.configured = [hook("stuck")]
    box.hanging = {"stuck"}
    box.happen()
    box.hooks.advance()
    assert box.hung.wait(PATIENCE_S)
    box.happen(times=MAX_WAITING + 50)
    box.hooks.advance()
    assert [note.text for note in box.notes()] == [
        f"hook stuck: events are dropped, because {MAX_WAITING} wait for it already"
    ]
    assert box.hooks.views()[0].num_waiting == MAX_WAITING
    box.configured = []
    box.hooks.advance()
    assert box.notes()[-1].text == (
        f"hook stuck: dropped events: {MAX_WAITING + 50}, because its configuration was changed"
    )


def test_a_test_calls_one_hook_whatever_it_is_on(box: HooksBox) -> None:
    box.configured = [hook("mail", "failed"), hook("panel", "done")]
    with box.database.transaction():
        asked = box.hooks.request_test("panel", asked_by="ada", now=1.0)
    assert box.advance_until_notes(1) == [f"hook panel: test of event {asked.event_id} delivered: took it"]
    [mail, panel] = box.hooks.views()
    assert mail.newest_test is None and panel.newest is None
    assert panel.newest_test is not None and panel.newest_test.event_id == asked.event_id
    with pytest.raises(UnknownHookError, match="chat: no such hook; there are: mail, panel"):
        box.hooks.request_test("chat", asked_by="ada", now=1.0)


def test_a_bug_in_a_delivery_is_a_failure_and_the_hook_goes_on(box: HooksBox) -> None:
    def broken(_: HookSection) -> Attempt:
        def attempt(delivery: Delivery, _: threading.Event) -> str:
            if delivery.event_id == 1:
                raise KeyError("x")
            return "took it"

        return attempt

    box.configured = [hook("mail")]
    box.hooks = Hooks(box.database, box.events, configured=lambda: box.configured, attempt_by=broken)
    box.happen(times=2)
    first, second = box.advance_until_notes(2)
    assert first == "hook mail: failed of event 1 failed: the daemon failed (KeyError); its log says more"
    assert second == "hook mail: failed of event 2 delivered: took it"


def test_a_stop_delivers_what_waits_and_kills_what_hangs(box: HooksBox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.configured = [hook("mail")]
    box.happen(times=3)
    asyncio.run(box.hooks.stop())
    assert len(box.delivered) == len(box.notes()) == 3
    monkeypatch.setattr("bertd.daemon.hooks.hooks.STOP_TIMEOUT_S", 0.0)
    box.hooks = box.make()
    box.hanging = {"mail"}
    box.happen(times=2)
    box.hooks.advance()
    assert box.hung.wait(PATIENCE_S)
    asyncio.run(box.hooks.stop())
    assert "hook mail: dropped events: 1, because the daemon ends" in [note.text for note in box.notes()]


def test_a_signed_event_goes_through_a_unix_socket(box: HooksBox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef\n")
    secret.chmod(0o600)
    box.hooks = Hooks(box.database, box.events, configured=lambda: box.configured)
    with HookServer(tmp_path / "s") as server:
        box.configured = [hook("panel", unix=str(server.path), secret_file=str(secret), timeout_s=300)]
        box.happen()
        [text] = box.advance_until_notes(1)
        box.configured = []
        box.hooks.advance()
    assert "delivered: answered 200" in text
    [body], [headers] = server.bodies, server.headers
    assert headers["Bertd-Signature"] == sign(body, b"0123456789abcdef")
    assert (headers["Bertd-Event"], headers["Bertd-Event-Id"]) == ("failed", "1")
    assert json.loads(body)["hook"] == "panel"
