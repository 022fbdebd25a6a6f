"""Start runners, adopt those of an earlier daemon, notice when one exits. The only module that starts processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bertd.daemon.scheduling.orphans import JOB_VARIABLE
from bertd.errors import DaemonBusyError, StorageError
from bertd.jobs.runner.run_job import job_lock
from bertd.records import JobKind, RunnerIdentity
from bertd.run.bounded_read import open_regular
from bertd.run.machine.gpu_share import GPU_MEMORY_VARIABLE, GPU_PARTS_VARIABLE
from bertd.run.machine.processes import is_alive, read_identity
from bertd.run.paths import JobPaths

RunnerCommand = Callable[[Path, JobKind], list[str]]

_INHERITED_VARIABLES = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    + ("CC", "CXX")
)
_INHERITED_PREFIXES = (
    *("LC_", "XDG_", "PYTHON", "OMP_", "MKL_", "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "GLOO_"),
    *("TORCH", "PYTORCH_", "TRITON_"),
)


def runner_command(folder: Path, kind: JobKind) -> list[str]:
    """The command that runs a job."""
    # -P, so that no file in the job's folder, which is the current one, hides a module.
    return [sys.executable, "-P", "-m", "bertd.jobs.runner", str(folder), kind]


def runner_environment(
    environment: Mapping[str, str],
    *,
    devices: dict[str, int],
    parts: int = 1,
    memory_bytes: int | None = None,
    threads: int | None = None,
) -> dict[str, str]:
    """The environment of a runner: the variables listed above, no secrets and nothing of the service manager. Pure.

    CUDA_VISIBLE_DEVICES names the leased GPUs; it is empty for a job on the CPU, so that it cannot take one.
    Of a GPU that several share, the job is given the number of its parts, or the bytes that it may use. A job that
    would take every core, and has fewer, is given that number of threads.
    """
    kept = {
        key: text
        for key, text in environment.items()
        if key in _INHERITED_VARIABLES or key.startswith(_INHERITED_PREFIXES)
    }
    kept["CUDA_VISIBLE_DEVICES"] = ",".join(device for device in devices if device != "cpu")
    kept["PYTHONUNBUFFERED"] = "1"
    if threads is not None:
        kept["OMP_NUM_THREADS"] = str(threads)
    if parts > 1:
        kept[GPU_PARTS_VARIABLE] = str(parts)
    if memory_bytes is not None:
        kept[GPU_MEMORY_VARIABLE] = str(memory_bytes)
    return kept


@dataclass
class RunnerHandle:
    """A runner that is watched."""

    identity: RunnerIdentity | None
    """None until the runner has written its identity."""
    pidfd: int
    """Readable once the runner has exited."""
    child: subprocess.Popen[bytes] | None
    """None if an earlier daemon started it."""

    def has_ended(self) -> bool:
        """Whether the runner has exited; a child is reaped."""
        if self.child is not None:
            return self.child.poll() is not None
        assert self.identity is not None
        return not is_alive(self.identity)

    @property
    def pid(self) -> int:
        """As the kernel numbers it."""
        if self.child is not None:
            return self.child.pid
        assert self.identity is not None
        return self.identity.pid

    @property
    def exit_code(self) -> int | None:
        """None for a runner that is not a child, or has not exited."""
        return self.child.returncode if self.child is not None else None


class Runners:
    """The runners of this daemon's jobs."""

    def __init__(self, *, command: RunnerCommand, wake: Callable[[], None]) -> None:
        """`wake` is called when a runner ends."""
        self._command = command
        self._wake = wake
        self.attached: dict[int, RunnerHandle] = {}

    def start(
        self,
        job_id: int,
        *,
        kind: JobKind,
        folder: Path,
        devices: dict[str, int],
        parts: int = 1,
        memory_bytes: int | None = None,
    ) -> None:
        """Start the runner of a job on its devices, or on one of so many parts of its GPU, or so much of its memory.

        Raises:
            StorageError: there are no processes, memory or file descriptors left for it.
        """
        paths = JobPaths(folder)
        try:
            with os.fdopen(open_regular(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
                child = subprocess.Popen(
                    self._command(folder, kind),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=runner_environment(
                        os.environ,
                        devices=devices,
                        parts=parts,
                        memory_bytes=memory_bytes,
                        threads=_limited_threads(kind, devices),
                    )
                    | {JOB_VARIABLE: str(folder)},
                    start_new_session=True,
                )
        except OSError as error:
            raise StorageError(
                f"{folder}: cannot start its runner: {error}; free memory, processes or files"
            ) from error
        self._attach(job_id, RunnerHandle(identity=None, pidfd=os.pidfd_open(child.pid), child=child))

    def adopt(self, job_id: int, *, folder: Path) -> bool:
        """Watch the runner that an earlier daemon started; return whether it is alive."""
        identity = read_identity(JobPaths(folder).runner)
        if identity is None or not is_alive(identity):
            # Don't open the pid: it may now be that of a thread, for which there is no pidfd.
            return False
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return False
        # Checked again after the open: from here on the pidfd means this very process.
        if not is_alive(identity):
            os.close(pidfd)
            return False
        self._attach(job_id, RunnerHandle(identity=identity, pidfd=pidfd, child=None))
        return True

    def pids(self) -> dict[int, int]:
        """The process of each job's runner."""
        return {job_id: handle.pid for job_id, handle in self.attached.items()}

    def terminate(self, job_id: int) -> None:
        """Send a runner SIGTERM: it has its ranks save, or ends its finetuning."""
        try:
            signal.pidfd_send_signal(self.attached[job_id].pidfd, signal.SIGTERM)
        except ProcessLookupError:
            pass

    def detach(self, job_id: int) -> None:
        """Stop watching a runner."""
        handle = self.attached.pop(job_id)
        asyncio.get_running_loop().remove_reader(handle.pidfd)
        os.close(handle.pidfd)

    def _attach(self, job_id: int, handle: RunnerHandle) -> None:
        def on_exit() -> None:
            asyncio.get_running_loop().remove_reader(handle.pidfd)
            self._wake()

        self.attached[job_id] = handle
        asyncio.get_running_loop().add_reader(handle.pidfd, on_exit)


def _limited_threads(kind: JobKind, devices: Mapping[str, int]) -> int | None:
    """The cores of a finetuning that has not all of them, as one has that a run lent its own; otherwise None."""
    cores = devices.get("cpu", 0)
    return cores if kind is JobKind.FINETUNE and 0 < cores < (os.cpu_count() or 1) else None


def has_other_runner(folder: Path) -> bool:
    """Whether a process that this daemon does not know holds the job."""
    if not folder.is_dir():
        return False
    try:
        with job_lock(JobPaths(folder)):
            return False
    except DaemonBusyError:
        return True
    except StorageError:
        # No process can hold a log that cannot be opened.
        return False
