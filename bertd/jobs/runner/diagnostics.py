"""What is kept of ranks that hang, before they are killed: `diagnostics/attempt-%06d/` in the run's folder.

    beats.json          the board: which rank was behind, and in what
    stack-rank-%05d.txt what each thread of a rank does: py-spy's answer where it is installed, else faulthandler's, and
                        what the kernel says of it
    job.log             the end of the log
    journal.jsonl       the end of the journal

py-spy reads a process from outside, so it also sees one that is stopped or keeps the GIL. Without it the rank itself is
asked: bertd.train.distributed.worker has faulthandler write all stacks to the log on `DUMP_STACKS_SIGNAL`.
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
from bertd.run.heartbeat import DUMP_STACKS_SIGNAL, HeartbeatRecord
from bertd.run.paths import RunPaths

LIMIT_S = 10.0
"""The whole gathering takes no longer: the hung ranks hold their devices meanwhile."""
_TAIL_BYTES = 1 << 20
_POLL_S = 0.1
_ANSWER_TIMEOUT_S = 2.0


class Diagnostics:
    """Gathers, for one attempt."""

    def __init__(self, paths: RunPaths, *, attempt: int, wait: Callable[[float], None] = time.sleep) -> None:
        """`wait` passes the time; the runner's keeps its ledger going."""
        self._log, self._journal = paths.log, paths.journal
        self._wait = wait
        self.folder = paths.diagnostics(attempt)

    def gather(self, beats: Collection[HeartbeatRecord], *, ranks: Collection[int]) -> None:
        """Write what can be seen.

        Args:
            beats: the newest of each rank.
            ranks: pids that are known to belong to this attempt; no other process is asked.

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
            return f"no stack: the other ranks took the {LIMIT_S:.0f} s that there were"
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
        """Have the rank write its stacks into the log, and give what it wrote."""
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
        """0 where somebody has moved it away: then there is no answer to read."""
        return self._log.stat().st_size if self._log.exists() else 0


def describe_kernel_threads(pid: int) -> str:
    """State and waiting place of each thread, as /proc has them."""
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
