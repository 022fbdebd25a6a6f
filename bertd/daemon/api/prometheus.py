"""The status as Prometheus metrics. https://prometheus.io/docs/practices/naming/"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from bertd.api.models import DeviceView, RunView, StatusView
from bertd.records import JobState

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Gauge(Generic[_T]):
    """A metric with one sample for each run or device that has the value."""

    name: str
    help: str
    value: Callable[[_T], float | None]


_RUN_GAUGES: tuple[_Gauge[RunView], ...] = (
    _Gauge("bertd_run_progress_ratio", "Share of the budget that is spent.", lambda run: run.budget.progress),
    _Gauge("bertd_run_charged_seconds", "Time charged to the run.", lambda run: run.budget.charged_s),
    _Gauge("bertd_run_remaining_seconds", "Training time left, as projected.", lambda run: run.budget.remaining_s),
    _Gauge("bertd_run_reserve_seconds", "Time kept for the end of the run.", lambda run: run.budget.reserve_s),
    _Gauge("bertd_run_step", "The newest optimizer step.", lambda run: run.step.step if run.step else None),
    _Gauge("bertd_run_loss_nats", "Training loss of the newest step.", lambda run: run.step.loss if run.step else None),
    _Gauge(
        "bertd_run_validation_loss_nats",
        "The newest validation loss.",
        lambda run: run.validation.loss if run.validation else None,
    ),
    _Gauge(
        "bertd_run_sequences_per_second",
        "Training speed at the newest step.",
        lambda run: run.step.sequences_per_s if run.step else None,
    ),
    _Gauge("bertd_run_restarts", "Restarts of the run's ranks so far.", lambda run: run.restarts),
    _Gauge("bertd_run_steps_lost", "Steps that restarts and rollbacks have undone.", lambda run: run.steps_lost),
)
_DEVICE_GAUGES: tuple[_Gauge[DeviceView], ...] = (
    _Gauge("bertd_device_utilization_ratio", "Share of the time in which it computed.", lambda gpu: gpu.utilization),
    _Gauge("bertd_device_memory_used_bytes", "Memory in use.", lambda gpu: gpu.memory_used_bytes),
    _Gauge("bertd_device_memory_total_bytes", "Memory.", lambda gpu: gpu.memory_total_bytes),
    _Gauge("bertd_device_temperature_celsius", "Temperature.", lambda gpu: gpu.temperature_c),
    _Gauge("bertd_device_power_watts", "Power drawn.", lambda gpu: gpu.power_w),
)


class _StatusCollector(Collector):
    def __init__(self, status: StatusView, counts: dict[JobState, int]) -> None:
        self._status, self._counts = status, counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each metric that has a sample."""
        jobs = GaugeMetricFamily("bertd_jobs", "Jobs in each state, past ones included.", labels=["state"])
        for state in JobState:
            jobs.add_metric([state], self._counts.get(state, 0))
        yield jobs
        for run_gauge in _RUN_GAUGES:
            yield from _family(run_gauge, [(run.id, run) for run in self._status.runs], label="run")
        for device_gauge in _DEVICE_GAUGES:
            yield from _family(device_gauge, [(gpu.id, gpu) for gpu in self._status.devices], label="device")


def _family(gauge: _Gauge[_T], items: list[tuple[str, _T]], *, label: str) -> Iterator[GaugeMetricFamily]:
    family = GaugeMetricFamily(gauge.name, gauge.help, labels=[label])
    for id, item in items:
        if (value := gauge.value(item)) is not None:
            family.add_metric([id], value)
    if family.samples:
        yield family


def prometheus_text(status: StatusView, *, counts: dict[JobState, int]) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status, counts))
    return generate_latest(registry)
