"""Choose lines of a journal without looking at each: of millions of step records a few are enough.

One search finds the lines that are no step record; of the step records between two of them, places are chosen by byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

STEP_PREFIX = b'{"kind":"step"'
_OTHER_LINE = re.compile(rb"\n(?!" + re.escape(STEP_PREFIX) + rb")")


def without_inner_steps(lines: bytes, *, is_whole: Callable[[bytes], bool]) -> Iterator[bytes]:
    """The lines; of consecutive steps only the first and the last one that `is_whole`.

    Args:
        lines: whole lines, without the newline of the last one.
    """
    for begin, end, other in _step_runs(lines):
        rising = _lines_from(lines, begin, end)
        first = next((place for place in rising if is_whole(lines[place[0] : place[1]])), None)
        if first is None and begin < end:
            yield lines[begin : _line_end(lines, begin, end)]
        elif first is not None:
            yield lines[first[0] : first[1]]
            falling = _lines_before(lines, first[1] + 1, end)
            last = next((place for place in falling if is_whole(lines[place[0] : place[1]])), None)
            if last is not None:
                yield lines[last[0] : last[1]]
        if other is not None:
            yield other


def with_some_steps(lines: bytes, *, every_bytes: int) -> Iterator[bytes]:
    """The lines; of consecutive steps the first in each so many bytes, and the last.

    Args:
        lines: as above.
    """
    for begin, end, other in _step_runs(lines):
        place = begin
        while place < end:
            line_end = _line_end(lines, place, end)
            yield lines[place:line_end]
            if line_end == end:
                break
            after = max(line_end, place + every_bytes - 1)
            next_place = _line_end(lines, after, end) + 1 if after < end else end
            place = next_place if next_place < end else max(line_end, lines.rfind(b"\n", begin, end)) + 1
        if other is not None:
            yield other


def _step_runs(lines: bytes) -> Iterator[tuple[int, int, bytes | None]]:
    """Where consecutive steps begin and end, and the line of another kind behind them; either may be missing."""
    begin = 0
    starts = [] if lines.startswith(STEP_PREFIX) else [0]
    for start in (*starts, *(match.end() for match in _OTHER_LINE.finditer(lines))):
        line_end = _line_end(lines, start, len(lines))
        yield begin, max(begin, start - 1), lines[start:line_end]
        begin = line_end + 1
    if begin < len(lines):
        yield begin, len(lines), None


def _line_end(lines: bytes, place: int, end: int) -> int:
    found = lines.find(b"\n", place, end)
    return end if found < 0 else found


def _lines_from(lines: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each line begins and ends."""
    while begin < end:
        line_end = _line_end(lines, begin, end)
        yield begin, line_end
        begin = line_end + 1


def _lines_before(lines: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The same, from the last one back."""
    while begin < end:
        start = max(begin, lines.rfind(b"\n", begin, end) + 1)
        yield start, end
        end = start - 1
