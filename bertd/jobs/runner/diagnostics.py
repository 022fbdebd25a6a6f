"""Collect diagnostics of hung ranks before they are killed: `diagnostics/attempt-%06d/` in the run's folder.

    beats.json          the heartbeats: which rank is behind, and in which phase
    stack-rank-%05d.txt stacks of all threads of a rank, by py-spy if it is installed, else by faulthandler, and the
                        state of each thread in the kernel
    job.log             the end of the log
    journal.jsonl       the end of the journal

py-spy reads a process from outside, so it also works if the process is stopped or holds the GIL. Without it the rank
writes its stacks itself: bertd.train.distributed.worker has faulthandler write them to the log on `DUMP_STACKS_SIGNAL`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.atomic_files import atomic_write
from bertd.run.paths import RunPaths
from bertd.run.ranks.heartbeat import DUMP_STACKS_SIGNAL, HeartbeatRecord

LIMIT_S = 10.0
"""Limit on collecting all stacks: the hung ranks keep their devices meanwhile."""
_TAIL_BYTES = 1 << 20
_POLL_S = 0.1
_ANSWER_TIMEOUT_S = 2.0


class Diagnostics:
    """Collects the diagnostics of one attempt."""

    def __init__(self, paths: RunPaths, *, attempt: int, wait: Callable[[float], None] = time.sleep) -> None:
        """`wait` sleeps for seconds; the runner's also ticks its ledger."""
        self._log, self._journal = paths.log, paths.journal
        self._wait = wait
        self.folder = paths.diagnostics(attempt)

    def gather(self, beats: Collection[HeartbeatRecord], *, ranks: Collection[int]) -> None:
        """Write the files.

        Args:
            beats: the newest of each rank.
            ranks: pids that belong to this attempt; no other process is examined.

        Raises:
            StorageError: the disk refused.
        """
        deadline = time.monotonic() + LIMIT_S
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot make the folder: {error.strerror}; free space") from error
        atomic_write(self.folder / "beats.json", "[" + ",\n".join(beat.model_dump_json() for beat in beats) + "]\n")
        for beat in beats:
            if beat.pid in ranks:
                stack = self._dump_stack(beat.pid, deadline=deadline)
                text = f"{stack}\n\n{describe_kernel_threads(beat.pid)}"
                atomic_write(self.folder / f"stack-rank-{beat.rank:05d}.txt", text)
        for path in (self._log, self._journal):
            atomic_write(self.folder / path.name, _tail(path))

    def _dump_stack(self, pid: int, *, deadline: float) -> str:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return f"no stack: the other ranks used up the limit of {LIMIT_S:.0f} s"
        if py_spy := shutil.which("py-spy"):
            try:
                result = subprocess.run(
                    [py_spy, "dump", "--pid", str(pid)], capture_output=True, text=True, timeout=left_s, check=False
                )
                if result.returncode == 0:
                    return result.stdout
                problem = f"py-spy: {result.stderr.strip()}\n"
            except (OSError, subprocess.TimeoutExpired) as error:
                problem = f"py-spy: {error}\n"
            return problem + self._request_stacks(pid)
        return self._request_stacks(pid)

    def _request_stacks(self, pid: int) -> str:
        """Have the rank write its stacks to the log, and return them."""
        before = self._log_bytes()
        try:
            os.kill(pid, DUMP_STACKS_SIGNAL)
        except ProcessLookupError:
            return "no stack: the process is gone"
        deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        size = before
        while time.monotonic() < deadline:
            self._wait(_POLL_S)
            previous, size = size, self._log_bytes()
            if size == previous > before:
                break
        if size <= before:
            signal_name = DUMP_STACKS_SIGNAL.name
            return f"no stack: the process did not answer signal {signal_name} within {_ANSWER_TIMEOUT_S:.0f} s"
        with self._log.open("rb") as log:
            log.seek(before)
            return log.read(_TAIL_BYTES).decode(errors="replace")

    def _log_bytes(self) -> int:
        """Size of the log; 0 if somebody has moved it away, so that there is no answer to read."""
        return self._log.stat().st_size if self._log.exists() else 0


def describe_kernel_threads(pid: int) -> str:
    """State of each thread and where it waits, from /proc."""
    lines = []
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        try:
            name = (task / "comm").read_text().strip()
            status = (task / "status").read_text()
            state = next((line[6:].strip() for line in status.splitlines() if line.startswith("State:")), "?")
            waits_in = (task / "wchan").read_text().strip()
        except OSError:
            continue
        lines.append(f"thread {task.name} {name}: {state}, waits in {waits_in or 'nothing'}")
    return "\n".join(lines) + "\n"


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""
