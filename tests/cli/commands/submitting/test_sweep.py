"""bertd.cli.commands.submitting.sweep: what it asks the daemon, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.api.sweep_models import SubmitSweep, SweepView
from bertd.cli.commands.submitting.sweep_estimate import SweepEstimate
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon
from tests.run.data_sets import write_manifest


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep file with the data set `mine` next to it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    write_manifest(tmp_path / "mine")
    text = (Path(__file__).parents[2] / "rates.toml").read_text()
    path = tmp_path / "rates.toml"
    path.write_text(text.replace('"data.shards" = "/"', '"data.shards" = "mine"\n"devices.count" = 1'))
    return path


def test_a_dry_run_says_what_it_takes_and_asks_for_nothing(bertd: Bertd, file: Path) -> None:
    said = bertd("sweep", str(file), "--dry-run")
    assert said.code == 0, said.err
    assert "settings  2, each on 1 x cpu" in said.out
    # Two settings to 1 min, and one of them to the demo's 2 min; without rungs both.
    assert "about 3m 00s at most, 0.05 core-hours; 4m 00s without rungs" in said.out
    assert "what is free for the daemon is not known" in said.out
    assert "nothing was queued" in said.out


def test_a_dry_run_with_a_daemon_says_what_is_free(
    bertd: Bertd, file: Path, daemon: FakeDaemon, tmp_path: Path
) -> None:
    version = daemon.status.version.model_copy(update={"state_dir": str(tmp_path)})
    daemon.status = daemon.status.model_copy(update={"version": version})
    estimate = SweepEstimate.model_validate_json(bertd("sweep", str(file), "--dry-run", "--json").out)
    assert estimate.free_disk_bytes is not None
    assert (estimate.num_settings, estimate.max_charged_s) == (2, 180.0)
    assert {request.method for request in daemon.requests} == {"GET"}

    text = file.read_text()
    file.write_text(text.replace("[set]", '[set]\n"checkpoint.keep" = 9'))
    more = SweepEstimate.model_validate_json(bertd("sweep", str(file), "--dry-run", "--json").out)
    # Of each setting the newest one, the best, and one that is written; with keep = 9 eight more.
    assert more.max_disk_bytes > 3 * estimate.max_disk_bytes - 2 * (64 << 20)


def test_a_sweep_on_gpus_is_timed_by_those_that_the_daemon_has(bertd: Bertd, file: Path, daemon: FakeDaemon) -> None:
    file.write_text(file.read_text().replace("[set]", '[set]\n"devices.kind" = "gpu"'))
    num_gpus = sum(device.kind == "gpu" for device in daemon.status.devices)
    estimate = SweepEstimate.model_validate_json(bertd("sweep", str(file), "--dry-run", "--json").out)
    assert estimate.num_at_once == num_gpus == 1
    assert estimate.max_wall_s == 2 * 60 + 60
    file.write_text(file.read_text().replace('"devices.count" = 1', '"devices.count" = 2'))
    assert "this machine has less than 2 gpu for a setting" in bertd("sweep", str(file), "--dry-run").out


def test_a_sweep_is_sent_with_absolute_paths_and_its_table_is_named(
    bertd: Bertd, file: Path, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "glue").mkdir()
    file.write_text(file.read_text().replace("[set]", '[set]\n"finetune.data" = "glue"'))
    said = bertd("sweep", "rates.toml", "--priority", "3")
    assert said.code == 0, said.err
    assert "sweep 3 (rates) has begun" in said.out
    assert "bertd sweeps 3 --cancel" in said.out
    order = SubmitSweep.model_validate_json(daemon.requests[0].body)
    assert order.spec.fixed["data.shards"] == str(tmp_path / "mine")
    assert order.spec.fixed["finetune.data"] == str(tmp_path / "glue")
    assert (order.priority, order.sweep_name, order.recipe_name) == (3, "rates.toml", "demo.toml")
    assert [rung.at_s for rung in order.spec.rungs] == [60.0]


def test_sweeps_are_listed_and_one_is_shown_best_first(bertd: Bertd, daemon: FakeDaemon) -> None:
    rows = bertd("sweeps").out.splitlines()
    assert rows[0].split() == ["ID", "NAME", "STATE", "SETTINGS", "CHARGED", "REASON"]
    assert rows[1].split()[:5] == ["3", "rates", "running", "3", "4m"]
    table = bertd("sweeps", "rates").out
    assert "3 settings: 1 dropped, 1 finished, 1 waiting; 4m 00s charged of about 5m 00s at most" in table
    header, *settings = table.split("\n\n")[1].splitlines()
    assert header.split() == [
        "RANK",
        "NO",
        "JOB",
        "STATE",
        "CHARGED",
        "0.5s",
        "2m",
        "00s",
        "optimizer.peak_lr",
        "REASON",
    ]
    assert [row.split()[1] for row in settings if row] == ["2", "1", "3"]
    assert "4.000" in settings[0]
    assert "2 of 2 at 0.5s" in settings[1]
    shown = SweepView.model_validate_json(bertd("sweeps", "3", "--json").out)
    assert shown == samples.sweep()
    assert json.loads(bertd("sweeps", "--json").out)[0]["name"] == "rates"


def test_no_sweep_is_a_hint_and_a_cancel_needs_a_name(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.sweeps = []
    assert bertd("sweeps").out == "No sweep yet; begin one with `bertd sweep FILE`.\n"
    said = bertd("sweeps", "--cancel")
    assert (said.code, daemon.requests[1:]) == (2, [])
    assert "name the sweep to cancel" in said.err
    daemon.sweeps = [samples.sweep()]
    assert bertd("sweeps", "rates", "--cancel").code == 0
    assert (daemon.requests[-1].method, daemon.requests[-1].path) == ("POST", "/v1/sweeps/rates/cancel")
