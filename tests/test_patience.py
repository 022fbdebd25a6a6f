"""No test depends on how fast the machine is: what waits, waits for PATIENCE_S, and what polls, polls often."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

TESTS = Path(__file__).parent
LONGEST_POLL_S = 0.05
"""A shorter wait is a poll, or lets other threads run; a longer one would have to be long enough."""
TAKES_SECONDS = {"fail_after", "join", "move_on_after", "sleep", "timeout", "wait"}
"""Calls whose first argument is a time in seconds."""
SLEEP_OF_A_PROGRAM = re.compile(r"\bsleep\((\d+(?:\.\d+)?)\)")
"""In the source of a program that a test starts, which a slow machine would let end too early."""
CLOCKS = {"monotonic", "perf_counter", "process_time", "time"}


def _number(node: ast.expr) -> float | None:
    return float(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, int | float) else None


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _limits(call: ast.Call) -> Iterator[str]:
    """The time limits and sleeps of a call, written as numbers, that a slow machine would exceed."""
    name = _name(call)
    limits = {keyword.arg: _number(keyword.value) for keyword in call.keywords}
    if limits.get("deadline") is not None:
        yield f"{name}(deadline={limits['deadline']})"
    seconds = limits.get("timeout")
    if seconds is None and name in TAKES_SECONDS and call.args:
        seconds = _number(call.args[0])
    if seconds is not None and LONGEST_POLL_S < seconds < PATIENCE_S:
        yield f"{name}({seconds})"


def _compares_a_time(node: ast.Compare) -> bool:
    """Whether a time that passed is compared with a number; with another time it may be, on any machine."""
    operands = [node.left, *node.comparators]
    return any(_number(operand) for operand in operands) and any(
        isinstance(operand, ast.BinOp) and isinstance(operand.op, ast.Sub) and _reads_a_clock(operand)
        for operand in operands
    )


def _reads_a_clock(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Call) and _name(part) in CLOCKS and not part.args for part in ast.walk(node))


def find_impatience(source: str) -> list[str]:
    """What in a test's source depends on the speed of the machine."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += list(_limits(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            sleeps = SLEEP_OF_A_PROGRAM.findall(node.value)
            found += [f"sleep({seconds})" for seconds in sleeps if LONGEST_POLL_S < float(seconds) < PATIENCE_S]
        if isinstance(node, ast.Compare) and _compares_a_time(node):
            found.append(ast.unparse(node))
    return found


def test_no_test_depends_on_the_speed_of_the_machine() -> None:
    found = {
        (str(path.relative_to(TESTS)), what)
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(__file__)
        for what in find_impatience(path.read_text())
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "process.wait(10)",
        "thread.join(timeout=5)",
        "subprocess.run(command, timeout=30)",
        "time.sleep(0.5)",
        "program = 'import time; time.sleep(60)'",
        "await asyncio.sleep(1)",
        "settings(deadline=200)",
        "assert time.monotonic() - began_s < 2",
    ],
)
def test_what_depends_on_it_is_found(source: str) -> None:
    assert len(find_impatience(source)) == 1


@pytest.mark.parametrize(
    "source",
    ["thread.join(PATIENCE_S)", "stop.wait(0.01)", "await asyncio.sleep(0)", "settings(deadline=None)", "','.join(x)"],
)
def test_what_does_not_depend_on_it_is_left_alone(source: str) -> None:
    assert find_impatience(source) == []
