"""Fixtures of all dashboard tests: a fixed time zone, and a pilot that waits for the app, not for the processor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from tests.waiting import PATIENCE_S

_NUM_ROUNDS = 5
"""A message that a message caused, and so on: how many in a row a pause waits for."""


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local time zone to UTC, as the screen shows local times."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


_PARSED_STYLES = dict[object, list[RuleSet]]()


@pytest.fixture(autouse=True)
def styles_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each app parses the style sheets of all its widgets; here one does for those that follow."""
    parse = Stylesheet._parse_rules

    def parse_once(sheet: Stylesheet, *arguments: Any, **options: Any) -> list[RuleSet]:
        key = (arguments, frozenset(options.items()), frozenset(sheet._variables.items()))
        if key not in _PARSED_STYLES:
            _PARSED_STYLES[key] = parse(sheet, *arguments, **options)
        return _PARSED_STYLES[key]

    monkeypatch.setattr(Stylesheet, "_parse_rules", parse_once)


@pytest.fixture(autouse=True)
def patient_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual's pilot takes an app that gets no processor time for idle, and gives one up that needs 30 s."""
    wait_for_screen, pause, press = Pilot._wait_for_screen, Pilot.pause, Pilot.press

    async def wait_for_messages(pilot: Pilot[object], timeout: float = PATIENCE_S) -> bool:
        return all([await wait_for_screen(pilot, timeout) for _ in range(_NUM_ROUNDS)])

    async def pause_when_done(pilot: Pilot[object], delay: float | None = None) -> None:
        await wait_for_messages(pilot)
        await pause(pilot, delay)

    async def press_and_wait(pilot: Pilot[object], *keys: str) -> None:
        await press(pilot, *keys)
        await wait_for_messages(pilot)

    monkeypatch.setattr(App, "CLOSE_TIMEOUT", None)
    monkeypatch.setattr(Pilot, "_wait_for_screen", wait_for_messages)
    monkeypatch.setattr(Pilot, "pause", pause_when_done)
    monkeypatch.setattr(Pilot, "press", press_and_wait)
