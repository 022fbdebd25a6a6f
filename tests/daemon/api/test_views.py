"""Texts: events, log pages, Prometheus samples, the status line; and the environment of a runner."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.api.models import StartAccuracyView, StatusView, VersionView
from bertd.cli.output.device_table import device_table
from bertd.cli.output.tables import OutputStyle
from bertd.daemon.api.job_log import read_log_page
from bertd.daemon.api.prometheus import prometheus_text
from bertd.daemon.metrics.latencies import Latencies
from bertd.daemon.scheduling.devices.inventory import Devices, default_finetunings_per_gpu
from bertd.daemon.scheduling.runners import runner_environment
from bertd.daemon.service import status_line
from bertd.jobs.store.leases import Lease, Leases
from bertd.metrics.event_text import event_text
from bertd.records import DevicesRecord, ForecastRecord, JobState, JournalRecord, ScoreRecord, StartupRecord
from tests.cli import samples
from tests.metrics.test_curves import start, step

STATUS = StatusView(
    version=VersionView(bertd="0", api=1, pid=1, state_dir="/s", started_t=0), runs=[], jobs=[], devices=[], events=[]
)


def test_every_kind_of_record_has_words() -> None:
    union, _ = get_args(JournalRecord)
    assert len(get_args(union)) == 18, "a new kind needs its line in event_text"
    assert event_text(start(5, charged_s=1, attempt=2)) == "attempt 2 trains from step 5 on 1 x x, fp32, eager"
    assert event_text(step(7, charged_s=1)) == "step 7: loss 5.000"
    times = {"choose_s": 1, "build_s": 2, "compile_s": 30, "first_step_s": 4, "total_s": 40}
    first = StartupRecord(t=0, attempt=1, step=1, charged_s=40, **times)
    assert event_text(first) == (
        "first step 40.0 s after the launch: 1.0 s to choose, 2.0 s to build, 30.0 s to compile"
    )
    forecast = ForecastRecord(
        t=0, step=7, charged_s=1, progress=0.5, loss=2, low=1.9, high=2.1, end_step=14, curve=[], basis="x"
    )
    assert event_text(forecast) == ("forecast of the last validation at step 7: 2.000 nats, 80 % band 1.900 to 2.100")
    moved = DevicesRecord(t=0, step=7, charged_s=1, before=8, after=4)
    assert event_text(moved) == "devices from 8 to 4 at step 7"
    score = ScoreRecord(
        t=0,
        task="cola",
        metric="matthews",
        score=0.31,
        majority_score=0.0,
        metrics={},
        majority_metrics={},
        num_train=1,
        num_dev=1,
        seed=1,
        lr=1,
        batch_size=1,
        epochs=1,
        source="x",
        seconds=12,
    )
    assert event_text(score) == "cola matthews 0.3100 (majority class 0.0000, 12 s)"


@given(st.text(max_size=40), st.integers(1, 20))
def test_a_log_read_in_pages_is_the_log(tmp_path_factory: pytest.TempPathFactory, text: str, limit: int) -> None:
    path = tmp_path_factory.mktemp("log") / "job.log"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    pieces, offset = [], 0
    while True:
        page = read_log_page(path, offset=offset, limit=max(4, limit))
        assert page.offset == offset
        if page.next_offset == offset:
            break
        pieces.append(page.text)
        offset = page.next_offset
    assert "".join(pieces) == path.read_bytes().decode()
    assert offset == page.size


def test_a_log_that_ends_within_a_character_is_given_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    path.write_bytes(b"\xe2\x82")
    page = read_log_page(path, offset=0, limit=100)
    assert (page.text, page.next_offset) == ("�", 2)


def test_an_absent_log_is_empty(tmp_path: Path) -> None:
    assert read_log_page(tmp_path / "job.log", offset=0, limit=10).size == 0


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_has_nothing_to_say_of_the_metrics_of_a_run_on_a_gpu() -> None:
    metrics, _ = prometheus_text(samples.status(), counts={JobState.RUNNING: 1}, latencies=Latencies())
    assert b"bertd_run_loss_nats{" in metrics and b"bertd_device_power_watts{" in metrics
    check = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_prometheus_counts_the_expected_starts_and_the_wrong_ones() -> None:
    accuracy = StartAccuracyView(num_checked=5, num_wrong=2)
    status = STATUS.model_copy(update={"start_accuracy": accuracy})
    lines = prometheus_text(status, counts={}, latencies=Latencies())[0].decode().splitlines()
    assert "bertd_expected_starts_total 5.0" in lines and "bertd_expected_starts_wrong_total 2.0" in lines


def test_prometheus_has_a_sample_for_every_state() -> None:
    lines = prometheus_text(STATUS, counts={JobState.QUEUED: 2}, latencies=Latencies())[0].decode().splitlines()
    assert 'bertd_jobs{state="queued"} 2.0' in lines
    assert len([line for line in lines if line.startswith("bertd_jobs{")]) == len(JobState)


def test_the_status_line_of_an_idle_daemon_says_so() -> None:
    assert status_line(STATUS) == "idle, 0 waiting"
    counts = {JobState.HELD: 300, JobState.QUEUED: 2, JobState.DONE: 7}
    assert status_line(STATUS.model_copy(update={"num_jobs_by_state": counts})) == "idle, 302 waiting"


def test_a_runner_inherits_named_variables_alone() -> None:
    own = {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "3",
        "NOTIFY_SOCKET": "/run/x",
        "LISTEN_FDS": "1",
        "AWS_SECRET_ACCESS_KEY": "s",
        "HF_TOKEN": "s",
        "LD_PRELOAD": "/evil.so",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CXX": "g++-13",
    }
    kept = runner_environment(own, devices={"GPU-a": 1, "GPU-b": 1})
    assert kept == {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b",
        "PYTHONUNBUFFERED": "1",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CXX": "g++-13",
    }


def test_a_job_on_the_cpu_sees_no_gpu() -> None:
    assert runner_environment({}, devices={"cpu": 2})["CUDA_VISIBLE_DEVICES"] == ""


def test_a_job_is_given_the_number_of_parts_of_a_shared_gpu_alone() -> None:
    own = {"BERTD_GPU_PARTS": "7"}
    assert runner_environment(own, devices={"GPU-a": 1}, parts=3)["BERTD_GPU_PARTS"] == "3"
    assert "BERTD_GPU_PARTS" not in runner_environment(own, devices={"GPU-a": 1})


# ---- Devices -------------------------------------------------------------------------------------------


class FakeNvmlError(Exception):
    """What the fake raises."""


class FakeNvml:
    """Two GPUs, the second of which does not report its power; or a driver that is absent."""

    NVMLError: type[Exception] = FakeNvmlError
    NVML_TEMPERATURE_GPU = 0

    def __init__(
        self, *, is_there: bool = True, pids: dict[int, list[int]] | None = None, mig_gpu: int | None = None
    ) -> None:
        self.is_there = is_there
        self.pids = pids or {}
        self.mig_gpu = mig_gpu

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.is_there:
            raise FakeNvmlError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "NVIDIA H200"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> object:  # noqa: N802
        return type("Rates", (), {"gpu": 97})

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> object:  # noqa: N802
        return type("Memory", (), {"used": 10, "total": 100})

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        return 60

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if handle == 1:
            raise FakeNvmlError("Not Supported")
        return 412_000

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[object]:  # noqa: N802
        return [type("Process", (), {"pid": pid, "usedGpuMemory": 5}) for pid in self.pids.get(handle, [])]

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        if handle != self.mig_gpu:
            raise FakeNvmlError("Not Supported")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> int:  # noqa: N802
        if index > 1:
            raise FakeNvmlError("Not Found")
        return 100 * (handle + 1) + index


def test_gpus_are_shown_in_their_units_and_what_one_does_not_tell_is_left_open() -> None:
    devices = Devices(FakeNvml(), {})
    assert devices.inventory.gpus == ("GPU-0", "GPU-1")
    first, second = devices.views(Leases((Lease(7, "GPU-1", 1),)))
    assert (first.utilization, first.memory_used_bytes, first.temperature_c, first.power_w) == (0.97, 10, 60.0, 412.0)
    assert (first.job_id, second.job_id, second.power_w) == (None, 7, None)


def test_the_cpu_of_a_box_with_gpus_is_shown_while_a_job_has_it() -> None:
    devices = Devices(FakeNvml(), {})
    assert [view.kind for view in devices.views(Leases())] == ["gpu", "gpu"]
    assert [view.kind for view in devices.views(Leases((Lease(7, "cpu", 1),)))] == ["cpu", "gpu", "gpu"]


def test_a_driver_that_is_not_there_means_no_gpus_with_the_reason() -> None:
    devices = Devices(FakeNvml(is_there=False), {})
    assert devices.inventory.gpus == ()
    assert devices.inventory.no_gpu_reason == "NVML: Driver Not Loaded"
    (cpu,) = devices.views(Leases())
    assert (cpu.kind, cpu.id) == ("cpu", "cpu")
    assert cpu.memory_total_bytes is not None and cpu.memory_total_bytes > 0


def test_gpus_that_the_daemons_environment_hides_are_neither_leased_nor_shown() -> None:
    devices = Devices(FakeNvml(), {"CUDA_VISIBLE_DEVICES": "1"})
    assert devices.inventory.gpus == ("GPU-1",)
    assert devices.inventory.no_gpu_reason == "CUDA_VISIBLE_DEVICES=1 leaves out 1 of 2 GPUs"
    assert [view.id for view in devices.views(Leases())] == ["GPU-1"]


def test_the_instances_of_a_divided_gpu_are_leased_one_by_one() -> None:
    devices = Devices(FakeNvml(mig_gpu=0), {})
    assert devices.inventory.gpus == ("GPU-100", "GPU-101", "GPU-1")


def test_a_gpu_that_finetunings_share_is_shown_with_all_of_them() -> None:
    leases = Leases((Lease(7, "GPU-0", 1, parts=2), Lease(9, "GPU-0", 1, parts=2)))
    shared, free = Devices(FakeNvml(pids={0: [1]}), {}).views(leases)
    assert (shared.job_id, shared.job_ids, shared.foreign_processes) == (7, [7, 9], [])
    assert (free.job_id, free.job_ids) == (None, [])
    table = device_table([shared, free], style=OutputStyle(width=None, has_color=False, has_unicode=True))
    assert " 7 9 " in table


@pytest.mark.parametrize(("gigabytes", "count"), [(None, 1), (8, 1), (12, 1), (24, 2), (40, 3), (80, 4), (141, 4)])
def test_how_many_finetunings_share_a_gpu_follows_its_memory(gigabytes: int | None, count: int) -> None:
    assert default_finetunings_per_gpu(None if gigabytes is None else gigabytes * 10**9) == count


def test_a_person_says_how_many_finetunings_share_a_gpu() -> None:
    assert Devices(FakeNvml(), {}, finetunings_per_gpu=3).inventory.finetunings_per_gpu == {"GPU-0": 3, "GPU-1": 3}


def test_processes_on_a_gpu_are_foreign_unless_a_job_has_it() -> None:
    mine, ended = os.getpid(), 2**22 + 1
    devices = Devices(FakeNvml(pids={0: [mine, ended], 1: [mine]}), {})
    first, second = devices.views(Leases((Lease(7, "GPU-1", 1),)))
    assert [process.pid for process in first.foreign_processes] == [mine, ended]
    assert first.foreign_processes[0].name and first.foreign_processes[1].name == "?"
    assert second.foreign_processes == []
    assert [process.pid for process in devices.foreign_processes()["GPU-0"]] == [mine]
