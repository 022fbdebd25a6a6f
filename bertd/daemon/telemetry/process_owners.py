"""Who the processes on a GPU are: user, name, and the job of this daemon that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil

from bertd.api.models import DeviceProcess
from bertd.daemon.scheduling.orphans import JOB_VARIABLE

_MAX_KNOWN = 1_000


class ProcessOwners:
    """Describes processes, each looked at once."""

    def __init__(self, state_dir: Path) -> None:
        """`state_dir`: of this daemon; the jobs of another one are foreign."""
        self._state_dir = state_dir.absolute()
        self._known: dict[tuple[int, float], tuple[str, str, int | None]] = {}

    def describe(self, process: Any) -> DeviceProcess:
        """One process, as NVML lists it."""
        user, name, job_id = self._look(process.pid)
        memory = process.usedGpuMemory
        memory_bytes = None if memory is None else int(memory)
        return DeviceProcess(pid=process.pid, user=user, name=name, memory_bytes=memory_bytes, job_id=job_id)

    def _look(self, pid: int) -> tuple[str, str, int | None]:
        try:
            of_system = psutil.Process(pid)
            key = (pid, of_system.create_time())
            if key not in self._known:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[key] = (of_system.username(), of_system.name(), self._job_of(of_system))
            return self._known[key]
        except psutil.Error:
            # It has exited, or is in a container that hides it.
            return "?", "?", None

    def _job_of(self, process: psutil.Process) -> int | None:
        try:
            folder = process.environ().get(JOB_VARIABLE)
        except (psutil.Error, OSError):
            # Another user's.
            return None
        if not folder or not Path(folder).is_relative_to(self._state_dir):
            return None
        # runs/7-first, finetunes/000012, commands/000012.
        number = Path(folder).name.partition("-")[0]
        return int(number) if number.isdecimal() else None
