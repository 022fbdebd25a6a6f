"""bertd.jobs.runner.gpu_memory_watch: who goes over a limit has to end, and where nobody can say the log says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from bertd.jobs.runner import command_job_runner
from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.command_job_runner import CommandJobRunner
from bertd.jobs.runner.gpu_memory_watch import GpuMemoryWatch, own_descendants
from bertd.records import CommandJobSpec, JobState
from bertd.run.paths import JobPaths

GIB = 1 << 30


class NVMLError(Exception):
    pass


@dataclass
class FakeNvml:
    """One card."""

    NVMLError: type[Exception] = NVMLError
    used: Callable[[], dict[int, int | None]] = dict
    problems: list[str] = field(default_factory=list)

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:  # noqa: N802
        if uuid != "GPU-a":
            raise NVMLError("not found")
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.used().items()]


def watch(used: dict[int, int | None], *, own: set[int], uuid: str = "GPU-a") -> GpuMemoryWatch:
    return GpuMemoryWatch(FakeNvml(used=lambda: used), uuid, 10 * GIB, list_pids=lambda: own)


def test_all_processes_of_the_job_count_together_and_those_of_others_do_not() -> None:
    me, parent = os.getpid(), os.getppid()
    assert watch({me: 6 * GIB, parent: 90 * GIB}, own={me}).reason_to_end() == ""
    reason = watch({me: 6 * GIB, parent: 5 * GIB}, own={me, parent}).reason_to_end()
    assert reason == (
        "it uses 11.0 GiB of GPU-a, more than the 10.0 GiB that it asked for; submit it with a larger --memory"
    )
    assert watch({me: 10 * GIB}, own={me}).reason_to_end() == ""


@pytest.mark.parametrize(
    ("used", "uuid", "words"),
    [
        ({os.getpid(): None}, "GPU-a", "does not say how much each process uses"),
        ({2**22 + 7: GIB}, "GPU-a", "not those of this container"),
        ({}, "GPU-b", "NVML: not found"),
    ],
)
def test_where_it_cannot_be_watched_the_log_says_so_once(
    used: dict[int, int | None], uuid: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    watched = watch(used, own={os.getpid()}, uuid=uuid)
    assert [watched.reason_to_end(), watched.reason_to_end()] == ["", ""]
    printed = capfd.readouterr()
    assert (printed.out + printed.err).count(words) == 1


def test_a_program_that_goes_over_its_limit_is_ended_with_the_reason(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes that the runner has started are on the card, with more than the limit."""
    nvml = FakeNvml(used=lambda: dict.fromkeys(own_descendants(), 11 * GIB))
    monkeypatch.setattr(
        command_job_runner,
        "watch_of_job",
        lambda environment, *, list_pids: GpuMemoryWatch(nvml, "GPU-a", 10 * GIB, list_pids=list_pids),
    )
    paths = JobPaths(tmp_path)
    paths.control.mkdir()
    paths.logs.mkdir()
    spec = CommandJobSpec(
        argv=["sleep", "3600"],
        cwd=str(tmp_path),
        environment={"PATH": os.environ["PATH"]},
        job_id=1,
        run_id=None,
        run_folder=None,
        num_cpus=None,
    )
    paths.command_spec.write_text(spec.model_dump_json())
    outcome = CommandJobRunner(paths, stop_signal=StopSignal()).run()
    assert outcome.state is JobState.FAILED
    assert "GiB of GPU-a, more than the 10.0 GiB that it asked for" in outcome.reason
