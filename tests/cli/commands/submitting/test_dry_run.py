"""bertd submit --dry-run: what a run would be, with nothing queued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.run.plan.run_estimate import RunEstimate
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon
from tests.run.data_sets import write_manifest


@pytest.fixture(autouse=True)
def shards(tmp_path: Path) -> Path:
    """A data set whose manifest is whole."""
    shards = tmp_path / "shards"
    shards.mkdir()
    write_manifest(shards)
    return shards


def estimate(bertd: Bertd, shards: Path, *arguments: str) -> RunEstimate:
    said = bertd("submit", "demo", "--set", f"data.shards={shards}", *arguments, "--dry-run", "--json")
    assert said.code == 0, said.err
    return RunEstimate.model_validate(json.loads(said.out))


def test_a_budget_of_work_needs_no_daemon(bertd: Bertd, shards: Path) -> None:
    whole = estimate(bertd, shards, "--budget", "500steps", "--set", "batch.sequences=64")
    assert (whole.steps, whole.sequences_per_step, whole.speed_of) == (500, 64, None)
    assert estimate(bertd, shards, "--budget", "6400sequences", "--set", "batch.sequences=64").steps == 100
    assert whole.disk_bytes > 2 * whole.checkpoint_bytes > 0


def test_a_budget_of_time_takes_the_speed_of_a_run_that_is_alike(
    bertd: Bertd, shards: Path, daemon: FakeDaemon
) -> None:
    size = [
        "--set",
        "model.layers=24",
        "--set",
        "model.width=1024",
        "--set",
        "model.heads=16",
        "--set",
        "model.ffn=4096",
    ]
    rest = ["--set", "data.sequence_length=128", "--set", "devices.count=2", "--set", "batch.sequences=100"]
    arguments = ["--budget", "1h", *size, *rest]
    alike = samples.run()
    assert estimate(bertd, shards, *arguments, "--set", "devices.kind=gpu").speed_of == alike.id
    known = estimate(bertd, shards, *arguments, "--set", "devices.kind=gpu")
    assert known.steps == int(3600 * 2214.0 / 100)
    for other in (["devices.kind=cpu"], ["devices.kind=gpu", "--set", "model.layers=12"]):
        unknown = estimate(bertd, shards, *arguments, "--set", *other)
        assert (unknown.steps, unknown.epochs, unknown.speed_of) == (None, None, None)
    assert {request.method for request in daemon.requests} == {"GET"}


def test_the_estimate_says_that_nothing_was_queued(bertd: Bertd, shards: Path) -> None:
    said = bertd("submit", "demo", "--set", f"data.shards={shards}", "--budget", "1h", "--dry-run")
    assert "steps    not known: no run of this size" in said.out
    assert said.out.endswith("nothing was queued; submit it without --dry-run\n")


def test_what_is_queued_says_its_steps_its_data_and_its_disk(bertd: Bertd, shards: Path, daemon: FakeDaemon) -> None:
    said = bertd("submit", "demo", "--set", f"data.shards={shards}", "--budget", "500steps")
    first, *lines = said.out.splitlines()
    assert first.startswith("job 9")
    assert [line.split()[0] for line in lines[:3]] == ["steps", "data", "disk"]
    assert "500 steps" in lines[0]
