"""Keys are handled one after another, however slow the app is, and none waits for one that never ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual import events

from tui.actions.key_queue import STUCK_S, KeyQueue


class _Queue:
    """A queue whose clock and app the test drives; no key is guarded."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handled: list[tuple[str, int]] = []
        self.queue = KeyQueue(
            is_guarded=lambda key: False,
            handle=self._handle,
            refuse=lambda key: None,
            later=self._later,
            clock=lambda: self.now,
        )

    async def _handle(self, key: events.Key, number: int) -> None:
        self.handled.append((key.key, number))

    def _later(self, seconds: float, call: Callable[[], Awaitable[None]]) -> None:
        raise AssertionError("only a guarded key waits")

    async def press(self, name: str) -> None:
        await self.queue.put(events.Key(name, None))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.handled]


async def test_keys_typed_ahead_wait_for_the_one_before_also_if_each_takes_long() -> None:
    box = _Queue()
    for name in ("f", "tab", "x"):
        await box.press(name)
    box.now = 0.9 * STUCK_S
    await box.queue.finish(box.handled[-1][1])
    assert box.names == ["f", "tab"]
    # The tab was begun just now, however long ago it arrived.
    box.now = 1.8 * STUCK_S
    await box.press("y")
    assert box.names == ["f", "tab"]
    await box.queue.finish(box.handled[-1][1])
    await box.queue.finish(box.handled[-1][1])
    assert box.names == ["f", "tab", "x", "y"]


async def test_a_key_that_was_given_up_begins_no_other_when_it_ends_after_all() -> None:
    box = _Queue()
    await box.press("f")
    box.now = 2 * STUCK_S
    await box.press("tab")
    assert box.names == ["f", "tab"], "the keyboard never freezes"
    await box.press("x")
    await box.queue.finish(box.handled[0][1])
    assert box.names == ["f", "tab"], "only one key is under way"
    await box.queue.finish(box.handled[1][1])
    assert box.names == ["f", "tab", "x"]
