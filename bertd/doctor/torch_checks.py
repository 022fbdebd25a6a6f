"""Run the checks that need torch in a process of their own, since this side never imports it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from pydantic import TypeAdapter

from bertd.records import Finding, Severity

_PROGRAM = "bertd.train.check_torch"
_LIMIT_S = 180.0
"""Importing torch and compiling one small function, on a machine that is busy."""
_FINDINGS = TypeAdapter(list[Finding])


def check_torch(*, num_gpus: int) -> Iterator[Finding]:
    """All checks of the installed torch.

    Args:
        num_gpus: GPUs that the driver lists.
    """
    command = [sys.executable, "-m", "bertd.program", _PROGRAM, "--gpus", str(num_gpus)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        yield Finding(
            check="torch",
            severity=Severity.FAULT,
            text=f"torch did not answer within {_LIMIT_S:.0f} s",
            remedy="look for a process in state D (ps aux): a driver that hangs needs a restart of the machine",
            cost="ranks hang while they start",
        )
        return
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        yield Finding(
            check="torch",
            severity=Severity.FAULT,
            text=lines[-1] if lines else f"its check ended with status {done.returncode}",
            remedy="install torch again, in the environment of bertd",
            cost="no job can run",
        )
        return
    # Libraries may print to standard output too; the findings are the last line.
    yield from _FINDINGS.validate_python(json.loads(done.stdout.splitlines()[-1]))
