"""The worker processes of a grid: start them, hand them trials, read their replies. One per leased slot."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.descendants import kill_group, kill_orphans
from bertd.records import GridSpec, GridTrial, TrialOrder, WorkerReply
from bertd.run.log import log_line
from bertd.run.machine.child_processes import adopt_orphans, start_child
from bertd.run.machine.gpu_share import GPU_PARTS_VARIABLE

WorkerCommand = Callable[[], list[str]]
"""Builds the command of a worker."""

_READ_BYTES = 1 << 16
_EXIT_S = 10.0
"""How long a worker may take to exit after it has closed its output; then it is killed."""


def worker_slots(spec: GridSpec, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """The environment that each worker gets besides the runner's: its GPU, or one thread on the CPU. Pure.

    One thread each, so that a score does not depend on how many workers there are.
    """
    gpus = [gpu for gpu in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu not in ("", "-1")]
    if not gpus:
        return [{"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}] * spec.num_cpu_workers
    parts = {} if spec.workers_per_gpu == 1 else {GPU_PARTS_VARIABLE: str(spec.workers_per_gpu)}
    # The GPUs in turn, so that a few trials do not share one while another is idle.
    return [{"CUDA_VISIBLE_DEVICES": gpu, **parts} for _ in range(spec.workers_per_gpu) for gpu in gpus]


@dataclass
class Worker:
    """One worker process."""

    process: subprocess.Popen[bytes]
    slot: int
    """Index in the list of `worker_slots`."""
    trial: GridTrial | None = None
    """What it runs."""
    began_s: float = 0.0
    """time.monotonic() when it got that."""
    has_loaded: bool = False
    """Whether it was ready once."""
    is_ready: bool = False
    """Whether it takes orders."""
    unread: bytes = field(default=b"")
    """The beginning of a reply."""

    def order(self, trial: GridTrial, folder: Path) -> None:
        """Hand a trial over; a worker that has just died is noticed when its output ends."""
        self.trial, self.began_s = trial, time.monotonic()
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(TrialOrder(folder=str(folder)).model_dump_json().encode() + b"\n")
        except BrokenPipeError:
            pass


@dataclass(frozen=True)
class WorkerEvent:
    """What a worker reported."""

    worker: Worker
    reply: WorkerReply | None = None
    """None: it ended."""
    exit_code: int = 0
    """Of the worker that ended; negative for a signal."""


class WorkerPool:
    """The workers that are alive."""

    def __init__(self, *, command: WorkerCommand, stop_signal: StopSignal) -> None:
        self._command = command
        self._stop_signal = stop_signal
        self._poll = select.epoll()
        self._by_fd: dict[int, Worker] = {}
        adopt_orphans()

    def __len__(self) -> int:
        return len(self._by_fd)

    def start(self, slot: int, variables: Mapping[str, str]) -> None:
        """Start a worker; raises OSError if there are no processes or memory left for it."""
        process = start_child(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            is_oom_victim=True,
            env=os.environ | dict(variables),
        )
        assert process.stdout is not None
        fd = process.stdout.fileno()
        self._by_fd[fd] = Worker(process, slot)
        self._poll.register(fd, select.EPOLLIN)

    def idle(self) -> list[Worker]:
        """Those that wait for a trial."""
        return [worker for worker in self._by_fd.values() if worker.is_ready and worker.trial is None]

    def running(self) -> list[Worker]:
        """Those that run one."""
        return [worker for worker in self._by_fd.values() if worker.trial is not None]

    def wait(self, timeout_s: float) -> list[WorkerEvent]:
        """What the workers reported until the timeout or a signal, in order."""
        if not self._stop_signal.wait(timeout_s, wake_fd=self._poll.fileno()):
            return []
        return [event for fd, _ in self._poll.poll(0) for event in self._read(fd)]

    def end(self, worker: Worker) -> None:
        """Have an idle worker end by itself: its input is over."""
        worker.is_ready = False
        assert worker.process.stdin is not None
        worker.process.stdin.close()

    def kill_all(self) -> None:
        """Kill and reap every worker and what it started."""
        for fd in [*self._by_fd]:
            self._reap(fd)
        kill_orphans()
        self._poll.close()

    def _read(self, fd: int) -> list[WorkerEvent]:
        worker = self._by_fd[fd]
        content = os.read(fd, _READ_BYTES)
        if not content:
            # Its output ends just before it does: without this it would be killed, and its exit status lost.
            self._await_exit(worker)
            return [WorkerEvent(worker, exit_code=self._reap(fd))]
        *lines, worker.unread = (worker.unread + content).split(b"\n")
        events = []
        for line in lines:
            try:
                events.append(WorkerEvent(worker, WorkerReply.model_validate_json(line)))
            except ValidationError:
                log_line(f"runner: worker {worker.process.pid} wrote {line[:80]!r}, which is not a reply; it is killed")
                kill_group(worker.process.pid)
        return events

    @staticmethod
    def _await_exit(worker: Worker) -> None:
        pidfd = os.pidfd_open(worker.process.pid)
        select.select([pidfd], [], [], _EXIT_S)
        os.close(pidfd)

    def _reap(self, fd: int) -> int:
        worker = self._by_fd.pop(fd)
        self._poll.unregister(fd)
        # Before it is reaped, as in run_child_process; one that has ended by itself keeps its status.
        kill_group(worker.process.pid)
        for pipe in (worker.process.stdin, worker.process.stdout):
            assert pipe is not None
            pipe.close()
        return worker.process.wait()
