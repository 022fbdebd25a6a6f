"""bertd.cli.job_commands."""

from __future__ import annotations

import json

import pytest

from bertd.api.models import ErrorView
from bertd.records import JobState
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


@pytest.mark.parametrize("verb", ["pause", "resume", "checkpoint", "stop", "hold", "release"])
def test_a_subcommand_reaches_its_job_and_prints_its_state(verb: str, bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.set_state(7, JobState.PAUSING, reason="a checkpoint is being saved")
    said = bertd(verb, "7")
    assert (said.code, said.out) == (0, "job 7 (demo) is pausing: a checkpoint is being saved\n")
    assert (daemon.requests[-1].method, daemon.requests[-1].path) == ("POST", f"/v1/jobs/7/{verb}")


def test_a_job_is_named_by_run_id_or_is_the_newest(bertd: Bertd, daemon: FakeDaemon) -> None:
    for arguments, id in ((["pause", "7-demo"], "7-demo"), (["pause", "@"], "@"), (["pause"], "@")):
        said = bertd(*arguments)
        assert (said.code, said.out.split()[:2]) == (0, ["job", "7"])
        assert daemon.requests[-1].path == f"/v1/jobs/{id}/pause"


@pytest.mark.parametrize("verb", ["pause", "resume", "checkpoint", "stop", "hold", "release"])
def test_a_subcommand_is_one_request_and_the_daemon_says_which_job_is_unknown(
    verb: str, bertd: Bertd, daemon: FakeDaemon
) -> None:
    assert bertd(verb, "7-demo").code == 0
    assert [request.method for request in daemon.requests] == ["POST"]
    said = bertd(verb, "99")
    assert (said.code, said.out, said.err) == (4, "", "bertd: job 99: no such job; see bertd jobs\n")
    assert [request.method for request in daemon.requests] == ["POST", "POST"]


def test_a_priority_may_be_below_nothing(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd("priority", "7", "5").code == 0
    assert json.loads(daemon.requests[-1].body) == {"priority": 5}
    assert bertd("priority", "7", "--", "-3").code == 0
    assert json.loads(daemon.requests[-1].body) == {"priority": -3}


def test_a_refused_subcommand_ends_with_the_refusals_code(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.refusal = (409, ErrorView(code="TransitionError", message="job 7 is done; nothing to pause"))
    said = bertd("pause", "7")
    assert (said.code, said.out, said.err) == (5, "", "bertd: job 7 is done; nothing to pause\n")


def test_a_run_is_resumed_on_another_number_of_devices(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd("resume", "7-demo", "--devices", "4").code == 0
    assert (daemon.requests[-1].path, daemon.requests[-1].body) == ("/v1/jobs/7-demo/resume", b'{"devices": 4}')
    sent = len(daemon.requests)
    assert bertd("resume", "7", "--devices", "0").code == 2
    assert len(daemon.requests) == sent


def test_shutdown_says_which_daemon_ends(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("shutdown")
    assert said.code == 0
    assert "the daemon (pid 4123) is shutting down" in said.out
    assert daemon.requests[-1].path == "/v1/shutdown"


def test_a_budget_is_asked_for_in_its_unit(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("budget", "7-demo", "--hours", "30")
    assert said.code == 0
    assert said.out == "run 7-demo gets a budget of 30h 00m at its next step; `bertd show 7` shows when it has\n"
    assert daemon.requests[-1].path == "/v1/runs/7-demo/budget"
    assert json.loads(daemon.requests[-1].body) == {"unit": "hours", "amount": 30.0}


@pytest.mark.parametrize("options", [[], ["--hours", "3", "--steps", "5"], ["--steps", "0"], ["--hours", "nan"]])
def test_no_budget_or_two_are_refused(options: list[str], bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd("budget", "7", *options).code == 2
    assert daemon.requests == []
