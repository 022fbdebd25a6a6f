"""The status as metrics, in Prometheus' text format or, for who accepts it, in OpenMetrics.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for what only rises. Labels are bounded:
a status has at most 50 runs and the machine's devices, and the states are enumerations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from bertd.api.models import DeviceView, MachineView, RunView, StatusView
from bertd.daemon.metrics.latencies import Latencies
from bertd.records import GpuReading, JobState, StepRecord
from bertd.run.machine.nvml import harmful_slowdowns

_OPENMETRICS = "application/openmetrics-text"
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Metric(Generic[_T]):
    """A metric with one sample for each run or device that has the value."""

    name: str
    help: str
    value: Callable[[_T], float | None]
    is_counter: bool = False
    """It only rises; its sample's name ends in _total."""


def _step(value: Callable[[StepRecord], float | None]) -> Callable[[RunView], float | None]:
    return lambda run: None if run.step is None else value(run.step)


_RUN_METRICS: tuple[_Metric[RunView], ...] = (
    _Metric("bertd_run_progress_ratio", "Share of the budget that is spent.", lambda run: run.budget.progress),
    _Metric("bertd_run_charged_seconds", "Time charged to the run.", lambda run: run.budget.charged_s),
    _Metric("bertd_run_remaining_seconds", "Training time left, as projected.", lambda run: run.budget.remaining_s),
    _Metric("bertd_run_reserve_seconds", "Time kept for the end of the run.", lambda run: run.budget.reserve_s),
    _Metric(
        "bertd_run_projected_step", "Step at which the budget will be spent.", lambda run: run.budget.projected_step
    ),
    _Metric("bertd_run_step", "The newest optimizer step.", _step(lambda step: step.step)),
    _Metric("bertd_run_sequences", "Sequences trained on.", _step(lambda step: step.sequences)),
    _Metric("bertd_run_loss_nats", "Training loss of the newest step.", _step(lambda step: step.loss)),
    _Metric(
        "bertd_run_validation_loss_nats",
        "The newest validation loss.",
        lambda run: run.validation.loss if run.validation else None,
    ),
    _Metric("bertd_run_best_validation_loss_nats", "The least validation loss.", lambda run: run.best_validation),
    _Metric(
        "bertd_run_forecast_loss_nats",
        "The last validation loss, as forecast.",
        lambda run: run.forecast.loss if run.forecast else None,
    ),
    _Metric(
        "bertd_run_forecast_low_nats",
        "The lower end of the forecast's 80 % band.",
        lambda run: run.forecast.low if run.forecast else None,
    ),
    _Metric(
        "bertd_run_forecast_high_nats",
        "The upper end of the forecast's 80 % band.",
        lambda run: run.forecast.high if run.forecast else None,
    ),
    _Metric("bertd_run_learning_rate", "Learning rate of the newest step.", _step(lambda step: step.lr)),
    _Metric("bertd_run_gradient_norm", "Norm of the gradient before clipping.", _step(lambda step: step.grad_norm)),
    _Metric("bertd_run_loss_scale", "Factor of the loss in fp16.", _step(lambda step: step.loss_scale)),
    _Metric(
        "bertd_run_sequences_per_second",
        "Training speed at the newest step.",
        _step(lambda step: step.sequences_per_s),
    ),
    _Metric(
        "bertd_run_tokens_per_second",
        "Training speed at the newest step, padding included.",
        _step(lambda step: step.tokens_per_s),
    ),
    _Metric("bertd_run_mfu_ratio", "Share of the device's peak that the model uses.", _step(lambda step: step.mfu)),
    _Metric(
        "bertd_run_data_wait_ratio",
        "Share of the time that rank 0 waited for data.",
        _step(lambda step: step.data_wait),
    ),
    _Metric("bertd_run_memory_bytes", "Peak memory of rank 0.", _step(lambda step: step.memory_bytes)),
    _Metric("bertd_run_last_step_timestamp_seconds", "When the newest step was reported.", _step(lambda step: step.t)),
    _Metric(
        "bertd_run_last_checkpoint_timestamp_seconds",
        "When the newest checkpoint was written.",
        lambda run: run.checkpoint.t if run.checkpoint else None,
    ),
    _Metric(
        "bertd_run_last_alert_timestamp_seconds",
        "When the run's newest alert came.",
        lambda run: run.alert.t if run.alert else None,
    ),
    _Metric(
        "bertd_run_energy_joules",
        "Energy of the run's GPUs, as far as measured.",
        lambda run: None if run.energy is None else run.energy.gpu_kwh * 3.6e6,
        is_counter=True,
    ),
    _Metric(
        "bertd_run_cpu_energy_joules",
        "The run's part of the energy of the CPU, estimated by its part of the CPU time.",
        lambda run: None if run.energy is None or run.energy.cpu_kwh is None else run.energy.cpu_kwh * 3.6e6,
        is_counter=True,
    ),
    _Metric(
        "bertd_run_disk_used_bytes",
        "What the run's folder takes on the disk, where a quota has it measured.",
        lambda run: None if run.disk is None else run.disk.used_bytes,
    ),
    _Metric(
        "bertd_run_disk_quota_bytes",
        "What the run's folder may take on the disk.",
        lambda run: None if run.disk is None else run.disk.quota_bytes,
    ),
    _Metric("bertd_run_restarts", "Restarts of the run's ranks.", lambda run: run.restarts, is_counter=True),
    _Metric(
        "bertd_run_steps_lost",
        "Steps that restarts and rollbacks have undone.",
        lambda run: run.steps_lost,
        is_counter=True,
    ),
    _Metric(
        "bertd_run_skipped_steps",
        "Updates that fp16 skipped for overflow.",
        _step(lambda step: step.skipped_steps),
        is_counter=True,
    ),
)


def _reading(value: Callable[[GpuReading], float | None]) -> Callable[[DeviceView], float | None]:
    return lambda device: None if device.gpu is None else value(device.gpu)


def _hertz(mhz: float | None) -> float | None:
    return None if mhz is None else mhz * 1e6


def _slowed(gpu: GpuReading) -> float:
    return float(bool(harmful_slowdowns(gpu.slowed_by)))


_DEVICE_METRICS: tuple[_Metric[DeviceView], ...] = (
    _Metric("bertd_device_utilization_ratio", "Share of the time in which it computed.", lambda gpu: gpu.utilization),
    _Metric("bertd_device_memory_used_bytes", "Memory in use.", lambda gpu: gpu.memory_used_bytes),
    _Metric("bertd_device_memory_total_bytes", "Memory.", lambda gpu: gpu.memory_total_bytes),
    _Metric("bertd_device_temperature_celsius", "Temperature.", lambda gpu: gpu.temperature_c),
    _Metric("bertd_device_power_watts", "Power drawn.", lambda gpu: gpu.power_w),
    _Metric("bertd_device_power_limit_watts", "Power allowed.", _reading(lambda gpu: gpu.power_limit_w)),
    _Metric("bertd_device_sm_clock_hertz", "Clock of the processors.", _reading(lambda gpu: _hertz(gpu.sm_mhz))),
    _Metric("bertd_device_memory_clock_hertz", "Clock of the memory.", _reading(lambda gpu: _hertz(gpu.memory_mhz))),
    _Metric("bertd_device_slowed", "1 where its clocks are held down.", _reading(_slowed)),
    _Metric(
        "bertd_device_ecc_corrected",
        "Memory errors corrected since the driver was loaded.",
        _reading(lambda gpu: gpu.ecc_corrected),
        is_counter=True,
    ),
    _Metric(
        "bertd_device_ecc_uncorrected",
        "Memory errors not corrected since the driver was loaded.",
        _reading(lambda gpu: gpu.ecc_uncorrected),
        is_counter=True,
    ),
    _Metric(
        "bertd_device_pcie_replays",
        "Packets sent again over PCIe.",
        _reading(lambda gpu: gpu.pcie_replays),
        is_counter=True,
    ),
    _Metric(
        "bertd_device_nvlink_errors", "Errors of all NVLinks.", _reading(lambda gpu: gpu.nvlink_errors), is_counter=True
    ),
    _Metric(
        "bertd_device_energy_joules",
        "Energy since the driver was loaded.",
        _reading(lambda gpu: gpu.energy_j),
        is_counter=True,
    ),
    _Metric("bertd_device_healthy", "0 where its driver hangs, fails or lost it.", lambda gpu: gpu.health == "ok"),
)
_MACHINE_METRICS: tuple[_Metric[MachineView], ...] = (
    _Metric("bertd_machine_load", "Processes that ran or waited, over a minute.", lambda machine: machine.load_1m),
    _Metric("bertd_machine_memory_used_bytes", "Memory in use.", lambda machine: machine.memory_used_bytes),
    _Metric("bertd_machine_memory_total_bytes", "Memory.", lambda machine: machine.memory_total_bytes),
    _Metric("bertd_machine_disk_free_bytes", "Of the state folder's disk.", lambda machine: machine.disk_free_bytes),
    _Metric("bertd_machine_disk_total_bytes", "Of the state folder's disk.", lambda machine: machine.disk_total_bytes),
    _Metric(
        "bertd_machine_cpu_power_watts", "Of all CPU packages, where readable.", lambda machine: machine.cpu_power_w
    ),
)
_DEVICE_STATES = ("free", "leased", "foreign", "drained")
"""Leased and drained may both hold; foreign: a process that is not of the daemon uses it."""


class _StatusCollector(Collector):
    def __init__(self, status: StatusView, counts: dict[JobState, int]) -> None:
        self._status, self._counts = status, counts

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that has a sample."""
        version = self._status.version
        yield _gauge("bertd_build_info", "The daemon's version.", ["version"], [((version.bertd,), 1)])
        yield _gauge("bertd_start_time_seconds", "When the daemon started.", [], [((), version.started_t)])
        counts = [((str(state),), self._counts.get(state, 0)) for state in JobState]
        yield _gauge("bertd_jobs", "Jobs in each state, past ones included.", ["state"], counts)
        yield from self._collect_start_accuracy()
        if (disk := self._status.disk_quota) is not None and disk.quota_bytes is not None:
            yield _gauge("bertd_disk_used_bytes", "What all jobs take on the disk.", [], [((), disk.used_bytes)])
            yield _gauge("bertd_disk_quota_bytes", "What all jobs may take.", [], [((), disk.quota_bytes)])
        runs = [((run.id, run.name, str(run.state)), 1) for run in self._status.runs]
        yield _gauge("bertd_run_info", "The run's name and state.", ["run", "name", "state"], runs)
        for metric in _RUN_METRICS:
            yield from _family(metric, [(run.id, run) for run in self._status.runs], label="run")
        for device_metric in _DEVICE_METRICS:
            yield from _family(device_metric, [(gpu.id, gpu) for gpu in self._status.devices], label="device")
        yield from self._collect_device_states()
        if (machine := self._status.machine) is not None:
            for machine_metric in _MACHINE_METRICS:
                if (value := machine_metric.value(machine)) is not None:
                    yield _gauge(machine_metric.name, machine_metric.help, [], [((), value)])

    def _collect_start_accuracy(self) -> Iterator[Metric]:
        accuracy = self._status.start_accuracy
        if accuracy is None:
            return
        yield CounterMetricFamily(
            "bertd_expected_starts", "Jobs that waited, had an expected start, and started.", value=accuracy.num_checked
        )
        wrong = "Of these, those that started earlier or later by more than a quarter of the wait."
        yield CounterMetricFamily("bertd_expected_starts_wrong", wrong, value=accuracy.num_wrong)

    def _collect_device_states(self) -> Iterator[Metric]:
        devices = self._status.devices
        states = [((gpu.id, state), float(state in _states_of(gpu))) for gpu in devices for state in _DEVICE_STATES]
        leases = [((gpu.id, str(job)), 1.0) for gpu in devices for job in gpu.job_ids]
        yield _gauge("bertd_device_state", "1 where the device is in the state.", ["device", "state"], states)
        yield _gauge("bertd_device_lease", "1 for each job that has the device.", ["device", "job"], leases)


def _states_of(device: DeviceView) -> set[str]:
    found = {"leased"} if device.job_ids else set()
    found |= {"drained"} if device.drained_by is not None else set()
    found |= {"foreign"} if device.foreign_processes else set()
    return found or {"free"}


def _gauge(
    name: str, help: str, labels: list[str], samples: Sequence[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _family(metric: _Metric[_T], items: list[tuple[str, _T]], *, label: str) -> Iterator[Metric]:
    kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=[label])
    for id, item in items:
        if (value := metric.value(item)) is not None:
            family.add_metric([id], value)
    if family.samples:
        yield family


def prometheus_text(
    status: StatusView, *, counts: dict[JobState, int], latencies: Latencies, accept: str = ""
) -> tuple[bytes, str]:
    """The metrics, and their media type.

    Args:
        accept: the request's header.
    """
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status, counts))
    registry.register(_RegistryCollector(latencies.registry))
    ProcessCollector(registry=registry)
    offers = {offer.partition(";")[0].strip() for offer in accept.split(",")}
    if _OPENMETRICS in offers:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # untyped there
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _RegistryCollector(Collector):
    """All of another registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yield each metric of it."""
        yield from self._registry.collect()
