"""Metrics: the names in the dashboard and the alert rules are served, both formats parse, and labels are bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types.
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bertd.api.models import DiskQuotaView
from bertd.daemon.api.prometheus import prometheus_text
from bertd.daemon.metrics.latencies import Latencies
from bertd.errors import StorageError
from bertd.records import AlertRecord, ForecastRecord, JobEnergy, JobState
from tests.cli import samples
from tests.daemon.api.in_process_api import InProcessApi

DOCS = Path(__file__).parents[3] / "docs" / "monitoring"
_WORDS = {
    "absent",
    "and",
    "avg_over_time",
    "by",
    "delta",
    "histogram_quantile",
    "increase",
    "on",
    "rate",
    "sum",
    "time",
}
_LABELS = {"device", "job", "le", "name", "operation", "run", "state", "status", "method", "version"}


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of the dashboard and of the rules, with its place."""
    for panel in json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def full_text() -> bytes:
    """All that the daemon can serve: of a run and a device with every value."""
    status, latencies = samples.status(), Latencies()
    run = status.runs[0]
    assert run.step is not None
    alert = AlertRecord(t=1.0, step=1, level="warning", code="spike", message="x")
    step = run.step.model_copy(update={"mfu": 0.4, "loss_scale": 8.0, "memory_bytes": 5})
    energy = JobEnergy(t=1.0, gpu_kwh=2.0, measured_s=9.0, unmeasured_s=0.0, cpu_kwh=0.5)
    disk = DiskQuotaView(t=1.0, used_bytes=5, quota_bytes=10)
    budget = run.budget.model_copy(update={"reserve_s": 30.0, "remaining_s": 5.0, "projected_step": 9})
    forecast = ForecastRecord(
        t=1.0, step=1, charged_s=1, progress=0.5, loss=2.0, low=1.9, high=2.1, end_step=2, curve=[], basis="x"
    )
    values = {"step": step, "alert": alert, "budget": budget, "best_validation": 3.0, "forecast": forecast}
    run = run.model_copy(update=values | {"energy": energy, "disk": disk})
    latencies.observe_request(method="GET", operation="get_jobs", status=200, seconds=0.1)
    latencies.timed(lambda: None)()
    device = status.devices[0].model_copy(update={"job_ids": [7]})
    return prometheus_text(
        status.model_copy(update={"runs": [run], "devices": [device], "disk_quota": disk}),
        counts={JobState.RUNNING: 1},
        latencies=latencies,
    )[0]


def test_every_metric_in_the_dashboard_and_the_rules_is_served() -> None:
    served = {sample.name for family in parse_text(full_text().decode()) for sample in family.samples}
    found = 0
    for place, expression in expressions():
        outside_of_strings = re.sub(r'"[^"]*"|\[[^]]*\]|\{\{|\}\}', "", expression)
        for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", outside_of_strings):
            if word.startswith(("bertd_", "process_")):
                found += 1
                assert word in served, f"{place}: {word}"
            else:
                assert word in _WORDS | _LABELS, f"{place}: {word}"
    assert found > 40


def test_only_counters_are_taken_for_what_never_falls() -> None:
    """`increase` and `rate` take a fall for a restart from 0, so of a gauge they rise when it falls."""
    found = 0
    for place, expression in expressions():
        for name in re.findall(r"\b(?:increase|i?rate)\((\w+)", expression):
            found += 1
            assert name.endswith(("_total", "_bucket", "_count", "_sum")), f"{place}: {name}"
    assert found > 5


def test_the_rules_say_what_to_do_and_the_panels_do_not_overlap() -> None:
    rules = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 10
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells


def test_names_follow_the_convention() -> None:
    units = {"seconds", "hertz", "joules", "ratio", "bytes", "celsius", "watts", "nats", "second", "info"}
    units |= {"total", "bucket", "count", "sum"}
    without_unit = {"bertd_jobs", "bertd_event_streams", "bertd_device_state", "bertd_device_lease"}
    without_unit |= {"bertd_device_healthy", "bertd_device_slowed", "bertd_machine_load"}
    without_unit |= {f"bertd_run_{name}" for name in ("step", "projected_step", "sequences", "learning_rate")}
    without_unit |= {"bertd_run_gradient_norm", "bertd_run_loss_scale"}
    for family in parse_text(full_text().decode()):
        assert family.documentation.endswith(".") or not family.name.startswith("bertd_"), family.name
        for sample in family.samples:
            if family.name.startswith("bertd_") and not sample.name.endswith("_created"):
                assert sample.name in without_unit or sample.name.rpartition("_")[2] in units, sample.name
                assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
                assert set(sample.labels) <= _LABELS


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text", "text/html, application/openmetrics-text;version=1.0.0;q=0.7"]
)
def test_openmetrics_is_given_to_who_accepts_it(api: InProcessApi, accept: str) -> None:
    answer = api.ask("GET", "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=")
    assert answer.content.endswith(b"# EOF\n")
    families = {family.name for family in parse_openmetrics(answer.content.decode())}  # type: ignore[no-untyped-call]  # untyped there
    assert {"bertd_jobs", "bertd_scheduler_tick_duration_seconds", "process_resident_memory_bytes"} <= families
    assert api.ask("GET", "/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_no_path_and_no_method_makes_a_series_of_its_own(api: InProcessApi) -> None:
    job = api.submit()
    for number in range(20):
        api.ask("GET", f"/v1/jobs/{job + number}")
        api.ask("GET", f"/v1/nothing-{number}")
        api.ask(f"METHOD{number}", "/v1/jobs")
    text = api.ask("GET", "/metrics").content.decode()
    (requests,) = (family for family in parse_text(text) if family.name == "bertd_api_request_duration_seconds")
    counts = {
        (each.labels["method"], each.labels["operation"], each.labels["status"]): each.value
        for each in requests.samples
        if each.name.endswith("_count")
    }
    assert counts[("GET", "get_job", "2xx")] == 1
    assert counts[("GET", "get_job", "4xx")] == 19
    assert counts[("GET", "unknown", "4xx")] == 20
    assert len(counts) <= 6


def test_a_request_that_fails_unexpectedly_is_counted_as_such(
    api: InProcessApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.services.views, "devices", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        api.ask("GET", "/v1/devices")
    monkeypatch.undo()
    text = api.ask("GET", "/metrics").content.decode()
    count = 'bertd_api_request_duration_seconds_count{method="GET",operation="get_devices",status="5xx"} 1.0'
    assert count in text


def test_a_round_of_the_scheduler_that_fails_is_counted_and_raises() -> None:
    latencies = Latencies()

    def fail() -> bool:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError):
        latencies.timed(fail)()
    value = latencies.registry.get_sample_value
    assert value("bertd_scheduler_tick_failures_total") == value("bertd_scheduler_tick_duration_seconds_count") == 1
