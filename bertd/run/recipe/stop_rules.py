"""Rules that end an unpromising run early: `after 3h loss > 6.0`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bertd.run.amounts.durations import parse_duration

_PATTERN = re.compile(r"^\s*after\s+(.+?)\s+loss\s*>\s*(\d+(?:\.\d+)?)\s*$")


@dataclass(frozen=True)
class StopRule:
    """Stop once `after_s` seconds are charged and the newest validation loss is above `max_loss`."""

    text: str
    after_s: float
    max_loss: float
    """Validation loss in nats."""

    def is_met(self, *, charged_s: float, validation_loss: float | None) -> bool:
        """Whether the run must stop now; a NaN loss counts as above any bound."""
        if validation_loss is None or charged_s < self.after_s:
            return False
        return not validation_loss <= self.max_loss


def parse_stop_rule(text: str) -> StopRule:
    """Read one rule.

    Raises:
        ValueError: not of the form `after DURATION loss > NUMBER`.
    """
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a stop rule; write: after 3h loss > 6.0")
    return StopRule(text=text.strip(), after_s=parse_duration(match[1]), max_loss=float(match[2]))
