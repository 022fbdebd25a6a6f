"""bertd.cli.commands.job_commands."""

from __future__ import annotations

import json
from typing import Literal

import pytest
import typer

from bertd.api.models import ErrorView
from bertd.cli.commands import budget, job_commands
from bertd.records import CommandKind, CommandRecord, JobState
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon, frame


@pytest.mark.parametrize("verb", ["pause", "resume", "checkpoint", "stop", "hold", "release"])
def test_a_subcommand_reaches_its_job_and_prints_its_state(verb: str, bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.set_state(7, JobState.PAUSING, reason="a checkpoint is being saved")
    said = bertd(verb, "7")
    what_follows = "; it saves a checkpoint at its next step" if verb == "checkpoint" else ""
    assert (said.code, said.out) == (0, f"job 7 (demo) is pausing: a checkpoint is being saved{what_follows}\n")
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
    for words, number in ((["7", "5"], 5), (["7", "-1"], -1), (["7", "--", "-3"], -3)):
        assert bertd("priority", *words).code == 0
        assert json.loads(daemon.requests[-1].body) == {"priority": number}


def test_a_priority_is_confirmed_with_its_number(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.jobs = [job.model_copy(update={"priority": 5}) for job in daemon.jobs]
    assert bertd("priority", "7", "8", "5").out.count("; its priority is 5\n") == 2


@pytest.mark.parametrize("words", [["7", "high"], ["7", "1.5"], ["7", "1000001"], ["7"], ["7", "--jsn", "5"], ["-1"]])
def test_what_is_no_priority_is_refused_in_plain_words(words: list[str], bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("priority", *words)
    assert said.code == 2
    assert "Input should" not in said.err
    assert daemon.requests == []


@pytest.mark.parametrize("verb", ["pause", "resume", "checkpoint", "stop", "hold", "release"])
def test_several_jobs_are_looked_up_first_and_each_is_acted_on_once(
    verb: str, bertd: Bertd, daemon: FakeDaemon
) -> None:
    said = bertd(verb, "7", "8", "7-demo")
    assert (said.code, len(said.out.splitlines())) == (0, 2)
    acted = [request.path for request in daemon.requests if request.method == "POST"]
    assert acted == [f"/v1/jobs/7/{verb}", f"/v1/jobs/8/{verb}"]
    daemon.requests.clear()
    assert bertd(verb, "7", "99", "8").code == 4
    assert {request.method for request in daemon.requests} == {"GET"}, "nothing is done where one ID is wrong"


def test_one_refusal_of_several_is_reported_and_the_others_are_done(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.refusals = {"/v1/jobs/7/pause": (409, ErrorView(code="TransitionError", message="job 7 is done"))}
    said = bertd("pause", "7", "8")
    assert (said.code, said.err) == (5, "bertd: job 7 is done\n")
    assert said.out.startswith("job 8 (cola)")


def test_every_acting_subcommand_prints_json(bertd: Bertd, daemon: FakeDaemon) -> None:
    for verb in ("pause", "resume", "checkpoint", "stop", "hold", "release"):
        assert json.loads(bertd(verb, "7", "--json").out)["id"] == 7
    assert [json.loads(line)["id"] for line in bertd("hold", "7", "8", "--json").out.splitlines()] == [7, 8]
    assert json.loads(bertd("priority", "7", "5", "--json").out)["id"] == 7
    assert json.loads(bertd("budget", "7", "24h", "--json").out)["job_id"] == 7
    assert json.loads(bertd("shutdown", "--json").out)["pid"] == 4123


def test_a_stop_without_a_job_needs_a_yes(bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    said = bertd("stop")
    assert said.code == 2
    assert "name the jobs to stop" in said.err
    assert daemon.requests == []
    monkeypatch.setattr(job_commands, "_can_ask", lambda: True)
    answers = iter([False, True])
    monkeypatch.setattr(typer, "confirm", lambda _: next(answers))
    assert bertd("stop").code == 0
    assert [request.method for request in daemon.requests] == ["GET"]
    assert bertd("stop").out.startswith("job 7 (demo)")
    assert daemon.requests[-1].path == "/v1/jobs/7/stop", "what was shown is stopped, whatever runs by then"
    monkeypatch.setattr(job_commands, "_can_ask", lambda: False)
    assert bertd("stop", "--yes").code == 0
    assert daemon.requests[-1].path == "/v1/jobs/@/stop"


# ---- Answers of the ranks --------------------------------------------------------------------------


def answer(verb: CommandKind, *, outcome: Literal["done", "refused"] = "done", detail: str = "x") -> bytes:
    record = CommandRecord(t=0.0, step=5, number=1, verb=verb, outcome=outcome, detail=detail)
    return frame(samples.event(9).model_copy(update={"type": "command", "data": record.model_dump()}))


def test_a_checkpoint_is_waited_for_until_it_is_saved(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.stream.put(answer(CommandKind.PAUSE))
    daemon.stream.put(answer(CommandKind.CHECKPOINT))
    said = bertd("checkpoint", "7", "--wait")
    assert (said.code, said.out) == (0, "job 7 (demo) is running; the checkpoint is saved\n")


def test_a_checkpoint_that_the_ranks_refuse_is_an_error(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.stream.put(answer(CommandKind.CHECKPOINT, outcome="refused", detail="the disk is full; free space"))
    said = bertd("checkpoint", "7", "--wait")
    assert (said.code, said.err) == (5, "bertd: job 7: no checkpoint: the disk is full; free space\n")


def test_a_checkpoint_is_waited_for_no_longer_than_asked(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("checkpoint", "7", "--timeout", "0.2s")
    assert (said.code, said.out) == (124, "")


def test_waiting_for_a_checkpoint_ends_with_the_run(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.set_state(7, JobState.FAILED, reason="the disk is gone")
    daemon.jobs = [job.model_copy(update={"ended_t": 1.0}) for job in daemon.jobs]
    daemon.stream.put(frame(daemon.status))
    said = bertd("checkpoint", "7", "--wait")
    assert (said.code, said.err.endswith("left the request unanswered: the disk is gone\n")) == (5, True)


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


@pytest.mark.parametrize(
    ("words", "amount"),
    [
        (["--hours", "30"], 30.0),
        (["30h"], 30.0),
        (["+6h"], 30.0),
        (["-30min"], 23.5),
        (["90min"], 1.5),
        (["1d"], 24.0),
    ],
)
def test_a_budget_has_one_spelling_and_may_be_relative(
    words: list[str], amount: float, bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_ANSWER_S", 0.0)
    assert bertd("budget", "7-demo", *words).code == 0
    [post] = [request for request in daemon.requests if request.method == "POST"]
    assert post.path == "/v1/runs/7-demo/budget"
    assert json.loads(post.body) == {"unit": "hours", "amount": amount}


def test_a_budget_that_the_ranks_took_is_confirmed(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.stream.put(answer(CommandKind.BUDGET))
    said = bertd("budget", "7-demo", "30h")
    assert (said.code, said.out) == (0, "run 7-demo has a budget of 30h 00m, 50.0% of it is spent\n")


def test_a_budget_that_came_too_late_is_not_confirmed(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.stream.put(answer(CommandKind.BUDGET, outcome="refused", detail="too late: training was over"))
    said = bertd("budget", "7-demo", "30h")
    assert (said.code, said.out, said.err) == (5, "", "bertd: 7-demo: too late: training was over\n")


def test_a_budget_without_an_answer_is_called_requested(
    bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_ANSWER_S", 0.0)
    said = bertd("budget", "7-demo", "30h")
    assert (said.code, "a budget of 30h 00m is requested, not confirmed" in said.out) == (0, True)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--hours", "3", "--steps", "5"],
        ["3h", "--hours", "3"],
        ["--steps", "0"],
        ["--hours", "nan"],
        ["--hours", "inf"],
        ["0h"],
        ["-24h"],
        ["-30h"],
        ["30"],
        ["soon"],
        ["+2steps"],
    ],
)
def test_no_budget_or_two_are_refused_in_plain_words(words: list[str], bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("budget", "7", *words)
    assert said.code == 2
    assert "Input should" not in said.err and said.err
    assert [request for request in daemon.requests if request.method == "POST"] == []


def test_a_part_that_leaves_no_budget_is_named_as_it_was_given(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("budget", "7", "-30h")
    assert said.code == 2
    assert "-30h 00m leaves no budget" in said.err


def test_what_a_job_waits_for_is_replaced_or_taken_away(bertd: Bertd, daemon: FakeDaemon) -> None:
    for words, after, after_any in (
        (["--after", "3,4@0.5"], ["3", "4@0.5"], None),
        (["--after", "none", "--after-any", "5", "--after-any", "6"], [], ["5", "6"]),
    ):
        assert bertd("change", "7", *words).code == 0
        body = json.loads(daemon.requests[-1].body)
        assert (body["after"], body["after_any"]) == (after, after_any)
    said = bertd("change", "7")
    assert said.code == 2 and "--after" in said.err
