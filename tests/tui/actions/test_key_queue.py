"""Keys are handled one after another, however slow the app is, and none waits for one that never ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual import events

from tui.actions.key_queue import STUCK_TICKS, TICK_S, KeyQueue


class _Queue:
    """A queue whose timer and app the test drives; no key is guarded."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, int]] = []
        self.timers: list[Callable[[], Awaitable[None]]] = []
        self.queue = KeyQueue(
            is_guarded=lambda key: False, handle=self._handle, refuse=lambda key: None, later=self._later
        )

    async def _handle(self, key: events.Key, number: int) -> None:
        self.handled.append((key.key, number))

    def _later(self, seconds: float, call: Callable[[], Awaitable[None]]) -> None:
        assert seconds == TICK_S
        self.timers.append(call)

    async def press(self, name: str) -> None:
        await self.queue.put(events.Key(name, None))

    async def tick(self, times: int) -> None:
        """Let the timer tick."""
        for _ in range(times):
            due, self.timers = self.timers, []
            for call in due:
                await call()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.handled]


async def test_keys_typed_ahead_wait_for_the_one_before_also_if_each_takes_long() -> None:
    box = _Queue()
    for name in ("f", "tab", "x"):
        await box.press(name)
    await box.tick(STUCK_TICKS - 1)
    await box.queue.finish(box.handled[-1][1])
    assert box.names == ["f", "tab"]
    # The tab was begun just now, however long ago it arrived.
    await box.tick(STUCK_TICKS - 1)
    await box.press("y")
    assert box.names == ["f", "tab"]
    await box.queue.finish(box.handled[-1][1])
    await box.queue.finish(box.handled[-1][1])
    assert box.names == ["f", "tab", "x", "y"]


async def test_no_key_overtakes_another_while_the_app_is_too_busy_to_tick() -> None:
    box = _Queue()
    await box.press("p")
    for _ in range(3 * STUCK_TICKS):
        await box.press("x")
    assert box.names == ["p"]


async def test_a_waiting_key_begins_when_the_one_before_is_given_up() -> None:
    box = _Queue()
    for name in ("f", "tab"):
        await box.press(name)
    await box.tick(STUCK_TICKS)
    assert box.names == ["f", "tab"], "the keyboard never freezes"


async def test_a_key_that_was_given_up_begins_no_other_when_it_ends_after_all() -> None:
    box = _Queue()
    await box.press("f")
    await box.tick(STUCK_TICKS)
    await box.press("tab")
    assert box.names == ["f", "tab"], "the keyboard never freezes"
    await box.press("x")
    await box.queue.finish(box.handled[0][1])
    assert box.names == ["f", "tab"], "only one key is under way"
    await box.queue.finish(box.handled[1][1])
    assert box.names == ["f", "tab", "x"]


async def test_no_timer_is_left_when_all_keys_are_done() -> None:
    box = _Queue()
    for name in ("f", "tab"):
        await box.press(name)
    for number in (1, 2):
        await box.queue.finish(number)
    await box.tick(1)
    assert box.timers == []
