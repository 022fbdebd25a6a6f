"""Hooks: their configuration, and what became of events."""

from __future__ import annotations

from typing import Literal

from bertd.records import (
    Record,
)


class HookOutcomeView(Record):
    """What became of one event on its way to a hook."""

    t: float
    """When the daemon knew it."""
    event: str
    """As in the configuration's `on`, or test."""
    event_id: int
    """Of the event in the event log."""
    is_delivered: bool
    detail: str
    """The program's or the server's answer, or why it failed."""
    num_attempts: int


class HookView(Record):
    """One hook of the daemon's configuration."""

    name: str
    kind: Literal["command", "url", "unix"]
    target: str
    """The program, the URL's host, or the socket; no arguments and no path of a URL, which may hold secrets."""
    events: list[str]
    """Those that call it."""
    is_signed: bool
    num_waiting: int
    """Events that wait for it."""
    newest: HookOutcomeView | None
    """None before the first."""
    newest_test: HookOutcomeView | None


class HookTestView(Record):
    """A test event on its way to a hook; its outcome is `newest_test` of the hook once that has this event's id."""

    hook: str
    event_id: int
    timeout_s: float
    """After which the delivery is broken off."""
