"""The findings of `bertd doctor` as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bertd.cli.output.tables import DIM, GREEN, RED, YELLOW, OutputStyle
from bertd.records import Finding, Severity
from bertd.run.amounts.quantities import format_count
from bertd.terminal_text import terminal_line

_COLORS = {Severity.FAULT: RED, Severity.SLOW: YELLOW, Severity.NOTE: DIM, Severity.OK: GREEN}
_INDENT = 7
_MAX_WIDTH = 120


def findings_text(findings: Sequence[Finding], *, style: OutputStyle) -> str:
    """What is wrong with its remedy and cost, then what is well in one line each, then how many there are of each."""
    blocks = [_finding_text(finding, style=style) for finding in findings]
    return "\n".join([*blocks, "", _summary(findings)])


def _finding_text(finding: Finding, *, style: OutputStyle) -> str:
    width = min(style.width or _MAX_WIDTH, _MAX_WIDTH) - _INDENT
    lines = textwrap.wrap(terminal_line(f"{finding.check}: {finding.text}"), max(width, 20))
    for label, text in (("costs", finding.cost), ("do", finding.remedy)):
        if text:
            lines += textwrap.wrap(terminal_line(f"{label}: {text}"), max(width, 20), subsequent_indent="  ")
    mark = style.paint(f"{finding.severity.value:<{_INDENT}}", _COLORS[finding.severity])
    return "\n".join([mark + lines[0], *(" " * _INDENT + line for line in lines[1:])])


def _summary(findings: Sequence[Finding]) -> str:
    counts = {severity: sum(each.severity is severity for each in findings) for severity in Severity}
    return (
        f"{format_count(counts[Severity.FAULT], 'fault')}, {counts[Severity.SLOW]} slow, "
        f"{format_count(counts[Severity.NOTE], 'note')}, {counts[Severity.OK]} as they should be"
    )
