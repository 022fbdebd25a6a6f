"""Divide the lines of the Run screen among its panels, at any terminal size.

Each panel first gets its minimum; the remaining lines go to the panels in the order of the `grow` calls below, the most
important first. The layout is a pure function of the size and the numbers of devices and jobs, so nothing on the screen
moves unless one of these changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tui.panels.budget import BIG_HEIGHT

WIDE = 110
"""From this width, figures and devices are beside queue and events."""
HUGE = 160
"""From this width, small charts are beside the loss."""
_LOSS = "loss"


@dataclass(frozen=True)
class Content:
    """How much there is to show."""

    num_devices: int
    num_jobs: int
    num_budget_lines: int = 2
    """More where a reason is long."""


@dataclass
class _Column:
    """Panels from top to bottom, with the lines allocated to each so far."""

    heights: dict[str, int]
    left: int
    """Lines not yet allocated."""
    allocated: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, height in self.heights.items():
            self.allocated[name] = min(height, self.left)
            self.left -= self.allocated[name]

    def grow(self, name: str, height: int) -> None:
        """Raise a panel to `height`, or leave it if too few lines are left."""
        more = height - self.allocated[name]
        if 0 < more <= self.left:
            self.allocated[name] += more
            self.left -= more

    def grow_to_fit(self, name: str, height: int) -> None:
        """Raise a panel to `height`, or as far as the lines suffice."""
        self.grow(name, self.allocated[name] + min(self.left, max(0, height - self.allocated[name])))


def allocate_lines(width: int, height: int, content: Content) -> dict[str, int]:
    """Lines of each panel by name: header, budget, loss, speed, devices, queue, glue, events, footer; 0 hides it."""
    if width >= WIDE:
        return _allocate_wide(height, content, is_huge=width >= HUGE)
    return _allocate_narrow(width, height, content)


def _allocate_narrow(width: int, height: int, content: Content) -> dict[str, int]:
    """Everything in one column."""
    first = {
        "header": 1,
        "footer": 1,
        "budget": content.num_budget_lines,
        _LOSS: 6,
        "speed": 2,
        "queue": 2,
        "devices": 2,
        "glue": 1,
        "events": 1,
    }
    column = _Column(first, height)
    halves = -(-content.num_devices // 2)
    column.grow("speed", 3 if width < 80 else 2)
    column.grow(_LOSS, 7)
    column.grow("devices", 1 + halves)
    column.grow("events", 3)
    column.grow_to_fit("queue", 1 + min(3, content.num_jobs))
    column.grow_to_fit(_LOSS, 10)
    column.grow("devices", 1 + content.num_devices)
    column.grow("speed", 4)
    column.grow_to_fit("queue", 1 + min(6, content.num_jobs))
    column.grow_to_fit("events", 6)
    column.grow("budget", BIG_HEIGHT)
    column.grow_to_fit(_LOSS, 20)
    column.grow_to_fit("queue", 1 + content.num_jobs)
    column.grow_to_fit("events", 12)
    column.grow_to_fit(_LOSS, height)
    return column.allocated


def _allocate_wide(height: int, content: Content, *, is_huge: bool) -> dict[str, int]:
    """Budget and curves across the screen, the rest below in two columns."""
    top = _Column({"header": 1, "footer": 1, "budget": content.num_budget_lines, _LOSS: 8, "bottom": 8}, height)
    devices = 1 + content.num_devices
    top.grow_to_fit("bottom", min(devices + 5, height // 2))
    top.grow("budget", BIG_HEIGHT + 2)
    top.grow_to_fit(_LOSS, 14)
    top.grow_to_fit("bottom", devices + 7)
    top.grow_to_fit(_LOSS, 3 * height // 5)
    top.grow_to_fit("bottom", devices + 9)
    top.grow_to_fit(_LOSS, height)
    bottom = top.allocated.pop("bottom")
    left = _Column({"speed": 4, "devices": 2}, bottom)
    left.grow_to_fit("devices", 1 + -(-content.num_devices // 2))
    left.grow("speed", 5)
    left.grow("devices", devices)
    left.grow_to_fit("speed", 5 if is_huge else 9)
    right = _Column({"queue": 2, "glue": 1, "events": 2}, bottom)
    right.grow("queue", 1 + min(3, content.num_jobs))
    right.grow("events", 5)
    right.grow_to_fit("queue", 1 + min(content.num_jobs, bottom // 2))
    right.grow_to_fit("events", bottom)
    return top.allocated | left.allocated | right.allocated
