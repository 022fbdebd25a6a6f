"""The status as Prometheus text. Pure. https://prometheus.io/docs/instrumenting/exposition_formats/"""

from __future__ import annotations

from bertd.api.models import StatusView
from bertd.records import JobState


def prometheus_text(status: StatusView, *, counts: dict[JobState, int]) -> str:
    """One sample a line, in base units."""
    lines = ["# TYPE bertd_jobs gauge"]
    lines += [_format_sample("bertd_jobs", {"state": state}, float(counts.get(state, 0))) for state in JobState]
    for run in status.runs:
        labels = {"run": run.id}
        values: list[tuple[str, float | None]] = [
            ("bertd_run_progress_ratio", run.budget.progress),
            ("bertd_run_charged_seconds", run.budget.charged_s),
            ("bertd_run_remaining_seconds", run.budget.remaining_s),
            ("bertd_run_reserve_seconds", run.budget.reserve_s),
            ("bertd_run_step", run.step.step if run.step else None),
            ("bertd_run_loss_nats", run.step.loss if run.step else None),
            ("bertd_run_validation_loss_nats", run.validation.loss if run.validation else None),
            ("bertd_run_sequences_per_second", run.step.sequences_per_s if run.step else None),
            ("bertd_run_restarts", float(run.restarts)),
            ("bertd_run_steps_lost", float(run.steps_lost)),
        ]
        lines += [_format_sample(name, labels, value) for name, value in values if value is not None]
    for device in status.devices:
        labels = {"device": device.id}
        values = [
            ("bertd_device_utilization_ratio", device.utilization),
            ("bertd_device_memory_used_bytes", device.memory_used_bytes),
            ("bertd_device_memory_total_bytes", device.memory_total_bytes),
            ("bertd_device_temperature_celsius", device.temperature_c),
            ("bertd_device_power_watts", device.power_w),
        ]
        lines += [_format_sample(name, labels, value) for name, value in values if value is not None]
    return "\n".join(lines) + "\n"


def _format_sample(name: str, labels: dict[str, str], value: float) -> str:
    label_text = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"{name}{{{label_text}}} {value:g}" if abs(value) < 1e6 else f"{name}{{{label_text}}} {value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
