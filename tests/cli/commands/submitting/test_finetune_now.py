"""`bertd finetune --now`: the cost is shown first, and nothing is submitted before a person agreed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.api.models import LendEstimateView
from bertd.cli.commands.submitting import finetune_now
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

COST = """job 7 (7-demo) saves and is paused, and continues by itself when this is over
charged to it: about 9.0 s to save and 31.5 s to start again, as measured on this run
time until it continues: about 5m 00s, on 2 devices
left to train: 12h 00m of its budget
"""


def submitted(daemon: FakeDaemon) -> list[object]:
    """The `now` of each submission."""
    return [json.loads(request.body)["now"] for request in daemon.requests if request.path == "/v1/jobs"]


def test_the_cost_is_shown_and_yes_does_not_ask(bertd: Bertd, daemon: FakeDaemon, tmp_path: Path) -> None:
    said = bertd("finetune", "7", "--task", "cola", "--data", str(tmp_path), "--now", "--yes")
    assert said.code == 0
    assert said.out.startswith(COST)
    assert submitted(daemon) == ["cold"]


def test_hot_is_a_value_of_the_option_and_a_grid_can_have_it_too(
    bertd: Bertd, daemon: FakeDaemon, tmp_path: Path
) -> None:
    said = bertd("finetune", "7", "--tasks", "cola", "--data", str(tmp_path), "--now=hot", "-y")
    assert said.code == 0
    assert submitted(daemon) == ["hot"]


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_a_dry_run_submits_nothing(bertd: Bertd, daemon: FakeDaemon, tmp_path: Path, json_option: list[str]) -> None:
    said = bertd("finetune", "7", "--task", "cola", "--data", str(tmp_path), "--now", "--dry-run", *json_option)
    if json_option:
        assert LendEstimateView.model_validate_json(said.out) == samples.lend_estimate()
    else:
        assert said.out == COST + "nothing was queued; submit it without --dry-run\n"
    assert submitted(daemon) == []


def test_where_nobody_can_be_asked_it_needs_yes_or_json(bertd: Bertd, daemon: FakeDaemon, tmp_path: Path) -> None:
    said = bertd("finetune", "7", "--task", "cola", "--data", str(tmp_path), "--now")
    assert said.code == 2 and "give --yes" in said.err
    assert submitted(daemon) == []
    said = bertd("finetune", "7", "--task", "cola", "--data", str(tmp_path), "--now", "--json")
    assert json.loads(said.out)["id"] == 9
    assert submitted(daemon) == ["cold"]


def test_what_is_not_measured_is_said_and_a_lend_is_joined() -> None:
    unknown = samples.lend_estimate().model_copy(update={"start_s": None, "charged_s": None, "wall_s": None})
    text = finetune_now.lend_text(unknown)
    assert "9.0 s to save and an unknown time to start again, not all of it is measured yet" in text
    assert "unknown: nothing like it was measured" in text
    joins = samples.lend_estimate().model_copy(update={"lend": 3, "save_s": 0.0, "start_s": 0.0, "charged_s": 0.0})
    assert "is paused for lend 3 already, which this joins" in finetune_now.lend_text(joins)
    assert "charged to it: nothing" in finetune_now.lend_text(joins)
    nothing = samples.lend_estimate().model_copy(update={"run_job_id": None})
    assert finetune_now.lend_text(nothing) == "no pretraining has to be paused; the job is queued as any other"


def test_a_value_that_is_none_of_the_two_is_refused(bertd: Bertd, daemon: FakeDaemon, tmp_path: Path) -> None:
    assert bertd("finetune", "7", "--task", "cola", "--data", str(tmp_path), "--now=warm").code == 2
    assert daemon.requests == []
