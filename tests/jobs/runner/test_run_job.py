from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bertd.jobs.runner.restart_policy import MAX_RESTARTS
from bertd.records import CommandKind, ExitClass, JobKind, JobState
from bertd.run.journal import read_journal
from bertd.run.machine.processes import is_alive
from tests.jobs.fake_ranks import Death, Plan
from tests.jobs.runner_box import RunnerBox, with_tests_on_path
from tests.waiting import PATIENCE_S, still_alive, wait_for

HOLDS = Plan(hold_at=7)


def test_a_run_goes_to_the_end_of_its_budget(box: RunnerBox) -> None:
    outcome = box.run(steps=12)
    assert (outcome.state, outcome.reason) == (JobState.DONE, "the budget is spent")
    assert box.records("step")[-1]["step"] == 12
    assert box.ledger.open_since_s is None
    assert box.ledger.ticked_s > 0


def test_the_runner_says_who_it_is_before_anything_else(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("start")
    assert box.process is not None
    assert box.identity.pid == box.process.pid
    assert is_alive(box.identity)
    box.kill()
    assert not is_alive(box.identity)


def test_the_ledger_is_ticked_while_ranks_run(box: RunnerBox) -> None:
    box.start(HOLDS)
    wait_for(lambda: box.ledger.ticked_s > 0, what="a tick")
    assert box.ledger.open_since_s is not None


def test_pause_and_resume_lose_no_step(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("step", count=7)
    box.post(CommandKind.PAUSE)
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (JobState.PAUSED, "requested by a test")
    charged_s = box.ledger.ticked_s
    assert box.run().state is JobState.DONE
    steps = [record["step"] for record in box.records("step")]
    assert steps == list(range(1, 21))
    assert [record["attempt"] for record in box.records("start")] == [1, 2]
    assert box.ledger.ticked_s > charged_s


def test_a_hold_is_not_charged_and_a_cold_pause_follows(box: RunnerBox) -> None:
    box.start(Plan(hold_at=8))
    box.wait_for_record("step", count=8)
    box.post(CommandKind.SUSPEND)
    wait_for(lambda: box.ledger.open_since_s is None, what="the segment to be closed")
    (held,) = box.records("state")
    assert box.ledger.ticked_s == held["charged_s"]

    box.post(CommandKind.RESUME)
    wait_for(lambda: box.ledger.open_since_s is not None, what="the segment to be opened")
    gone_on = box.records("state")[1]
    assert box.ledger.open_since_s == gone_on["monotonic_s"]
    assert box.ledger.closed_s == held["charged_s"]

    box.post(CommandKind.SUSPEND)
    wait_for(lambda: box.ledger.open_since_s is None, what="the segment to be closed")
    box.post(CommandKind.PAUSE)
    assert box.outcome().state is JobState.PAUSED


def test_what_the_processes_take_to_exit_is_not_charged(box: RunnerBox) -> None:
    box.run(steps=3)
    (end,) = box.records("end")
    assert box.ledger.ticked_s == end["charged_s"]


def test_stop_ends_the_run_with_an_export(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("step", count=7)
    box.post(CommandKind.STOP)
    assert box.outcome().state is JobState.DONE
    assert box.records("end")[0]["reason"] == "stopped"


def test_sigterm_is_passed_on_and_the_pause_waited_for(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("step", count=7)
    assert box.process is not None
    box.process.terminate()
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (JobState.PAUSED, "bertd was told to stop")


def test_ranks_that_a_signal_killed_are_started_again_from_the_checkpoint(box: RunnerBox) -> None:
    outcome = box.run(Plan(deaths={1: Death(at_step=7, signal=signal.SIGKILL)}))
    assert outcome.state is JobState.DONE
    (restart,) = box.records("restart")
    assert (restart["step"], restart["from_step"], restart["attempt"]) == (7, 5, 2)
    assert "signal 9 (SIGKILL)" in str(restart["cause"])
    assert [record["step"] for record in box.records("start")] == [0, 5]
    assert box.records("step")[-1]["step"] == 20


def test_back_off_is_not_charged(box: RunnerBox) -> None:
    box.run(Plan(deaths={1: Death(at_step=7, exit_code=1)}))
    (restart,) = box.records("restart")
    start = box.records("start")[1]
    # The delay is 20 ms at least; charging resumes where it stopped, plus the time the second launch took to start.
    charged_s = float(str(restart["charged_s"]))
    assert charged_s <= float(str(start["charged_s"]))
    elapsed_s = float(str(start["t"])) - float(str(restart["t"]))
    assert float(str(start["charged_s"])) - charged_s <= elapsed_s - float(str(restart["delay_s"])) + 0.01


def test_a_run_that_gets_no_further_is_given_up_with_cause_and_checkpoint(box: RunnerBox) -> None:
    outcome = box.run(Plan(every_attempt=Death(at_step=7, signal=signal.SIGSEGV)))
    assert outcome.state is JobState.FAILED
    assert "signal 11 (SIGSEGV)" in outcome.reason
    assert f"given up after {MAX_RESTARTS} restarts without a step above 7" in outcome.reason
    assert "last checkpoint: step-000000005" in outcome.reason
    assert len(box.records("restart")) == MAX_RESTARTS
    (end,) = box.records("end")
    assert (end["reason"], end["detail"], end["step"]) == ("failed", outcome.reason, 7)


def test_a_run_that_gets_further_each_time_is_not_given_up(box: RunnerBox) -> None:
    deaths = {attempt: Death(at_step=6 * attempt, exit_code=1) for attempt in range(1, 7)}
    assert box.run(Plan(deaths=deaths), steps=40).state is JobState.DONE
    assert len(box.records("restart")) == 6


@pytest.mark.parametrize("exit_code", [2, 76])
def test_an_error_that_would_come_again_is_not_tried_again(box: RunnerBox, exit_code: int) -> None:
    alert = "/data/tokens.bin: damaged; prepare it again"
    outcome = box.run(Plan(every_attempt=Death(at_step=3, exit_code=exit_code, alert=alert)))
    assert (outcome.state, outcome.reason, outcome.exit_code) == (JobState.FAILED, alert, exit_code)
    assert box.records("restart") == []


def test_an_alert_of_an_earlier_attempt_is_not_the_reason_of_a_later_one(box: RunnerBox) -> None:
    deaths = {1: Death(at_step=3, exit_code=1, alert="an old story"), 2: Death(at_step=8, exit_code=76)}
    outcome = box.run(Plan(deaths=deaths))
    assert outcome.state is JobState.FAILED
    assert outcome.reason == "its loss is not finite (exit code 76); last log lines in logs/job.log"


def test_the_cause_is_that_of_the_rank_that_failed_first_whichever_it_is(box: RunnerBox) -> None:
    reports = {1: "train.tokens cannot be read", 0: "train.tokens cannot be read, too"}
    outcome = box.run(Plan(every_attempt=Death(at_step=3, exit_code=65, reports=reports)))
    assert (outcome.state, outcome.reason) == (JobState.FAILED, "train.tokens cannot be read")
    (alert,) = box.records("alert")
    assert (alert["level"], alert["code"], alert["message"]) == ("error", "ShardError", "train.tokens cannot be read")
    assert box.records("end")[0]["detail"] == "train.tokens cannot be read"


def test_the_cause_of_a_restart_is_what_the_first_rank_raised(box: RunnerBox) -> None:
    reports = {2: "rank 2: RuntimeError: odd", 1: "rank 1: RuntimeError: Connection closed by peer"}
    assert box.run(Plan(deaths={1: Death(at_step=3, exit_code=1, reports=reports)})).state is JobState.DONE
    (restart,) = box.records("restart")
    assert restart["cause"] == "rank 2: RuntimeError: odd"


def test_a_report_of_ranks_that_lost_a_killed_one_is_not_the_cause(box: RunnerBox) -> None:
    reports = {1: "rank 1: RuntimeError: Connection closed by peer"}
    box.run(Plan(deaths={1: Death(at_step=3, signal=signal.SIGKILL, reports=reports)}))
    assert "signal 9" in str(box.records("restart")[0]["cause"])
    assert box.records("alert") == []


def test_ranks_that_die_before_they_start_are_given_up_too(box: RunnerBox) -> None:
    outcome = box.run(Plan(every_attempt=Death(at_step=-1, exit_code=1)))
    assert outcome.state is JobState.FAILED
    assert "there is no checkpoint" in outcome.reason
    assert [record["attempt"] for record in box.records("restart")] == [2, 3, 4]


@pytest.mark.parametrize("keeps_gil", [False, True])
def test_ranks_that_hang_are_looked_at_killed_and_started_again(box: RunnerBox, keeps_gil: bool) -> None:
    outcome = box.run(Plan(freeze_at={1: 7}, patience_s=1.5, keeps_gil=keeps_gil))
    assert outcome.state is JobState.DONE
    (restart,) = box.records("restart")
    assert "rank 0 (pid " in str(restart["cause"]) and "in its step after step 7" in str(restart["cause"])
    assert (restart["step"], restart["from_step"], restart["exit_class"]) == (7, 5, ExitClass.TRANSIENT)
    folder = box.paths.diagnostics(1)
    assert str(folder.relative_to(box.paths.root)) in str(restart["cause"])
    assert {entry.name for entry in folder.iterdir()} == {
        "beats.json",
        "stack-rank-00000.txt",
        "job.log",
        "journal.jsonl",
    }
    stack = (folder / "stack-rank-00000.txt").read_text()
    if keeps_gil:
        assert "in _hang" in stack
    else:
        # A stopped process handles no signal, so the kernel's state of its threads is written instead.
        assert "did not answer signal SIGUSR1" in stack and "T (stopped)" in stack
    assert '"kind":"step"' in (folder / "journal.jsonl").read_text()


def test_a_rank_is_read_from_outside_where_there_is_py_spy(box: RunnerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    program = box.paths.root / "py-spy"
    program.write_text('#!/bin/sh\necho "the stack of $3"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert box.run(Plan(freeze_at={1: 7}, patience_s=1.5)).state is JobState.DONE
    assert "the stack of " in (box.paths.diagnostics(1) / "stack-rank-00000.txt").read_text()


def test_a_stop_before_there_is_anything_to_export_cancels(box: RunnerBox) -> None:
    box.post(CommandKind.STOP)
    outcome = box.run(Plan(every_attempt=Death(at_step=-1, exit_code=1)))
    assert outcome.state is JobState.CANCELLED
    assert box.records("command")[0]["verb"] == CommandKind.STOP


def test_a_killed_runner_takes_its_ranks_with_it(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("start")
    assert box.process is not None
    ranks = psutil.Process(box.process.pid).children(recursive=True)
    assert ranks
    box.kill()
    assert still_alive(ranks) == []


def test_a_segment_that_a_killed_runner_left_open_is_closed_at_its_last_tick(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("step", count=7)
    wait_for(lambda: box.ledger.ticked_s > 0, what="a tick")
    box.kill()
    left = box.ledger
    assert left.open_since_s is not None
    begun_t = time.time()
    assert box.run().state is JobState.DONE
    start = box.records("start")[1]
    charged_since_s = float(str(start["charged_s"])) - left.ticked_s
    assert 0.0 <= charged_since_s <= float(str(start["t"])) - begun_t


def test_a_torn_line_of_killed_ranks_is_cut_off(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("step", count=7)
    box.kill()
    whole = len(read_journal(box.paths.journal))
    with box.paths.journal.open("ab") as journal:
        journal.write(b'{"kind":"step","step":7')
    assert box.run().state is JobState.DONE
    records = read_journal(box.paths.journal)
    assert records[whole].kind == "start"
    assert all(line.endswith(b"}") for line in box.paths.journal.read_bytes().splitlines())


def test_a_child_that_the_ranks_left_behind_is_ended(box: RunnerBox) -> None:
    box.start(Plan(hold_at=7, orphan=True))
    box.wait_for_record("step")
    assert box.process is not None
    below = psutil.Process(box.process.pid).children(recursive=True)
    assert len(below) == 2
    box.post(CommandKind.PAUSE)
    assert box.outcome().state is JobState.PAUSED
    assert not any(process.is_running() for process in below)


def test_a_second_runner_of_a_folder_ends_at_once_and_touches_nothing(box: RunnerBox) -> None:
    box.start(HOLDS)
    box.wait_for_record("start")
    before = box.identity
    command = [sys.executable, "-m", "tests.jobs.fake_runner", str(box.plan_path), str(box.paths.root)]
    second = subprocess.run(
        [*command, JobKind.PRETRAIN], capture_output=True, env=with_tests_on_path(), timeout=PATIENCE_S, check=False
    )
    assert second.returncode == 75
    assert b"another runner has this job" in second.stdout
    assert box.identity == before


def test_a_pause_between_two_attempts_is_obeyed(box: RunnerBox) -> None:
    box.post(CommandKind.PAUSE)
    outcome = box.run(Plan(every_attempt=Death(at_step=-1, exit_code=1)))
    assert (outcome.state, outcome.reason) == (JobState.PAUSED, "requested by a test while it had no ranks")
    assert box.records("command")[0]["number"] == 1


def test_a_finetuning_ends_with_its_score_as_the_reason(box: RunnerBox) -> None:
    box.start_finetuning("cola")
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (JobState.DONE, "cola matthews 0.2500, majority class 0.0000")


def test_a_stopped_finetuning_is_cancelled(box: RunnerBox) -> None:
    box.start_finetuning("wnli")
    box.wait_for_record("alert")
    box.post(CommandKind.STOP)
    assert box.outcome().state is JobState.CANCELLED
    assert box.records("command")[0]["verb"] == CommandKind.STOP
    assert box.records("end")[0]["reason"] == "stopped"


def test_a_finetuning_whose_runner_is_told_to_end_can_be_resumed(box: RunnerBox) -> None:
    box.start_finetuning("wnli")
    box.wait_for_record("alert")
    assert box.process is not None
    os.kill(box.process.pid, signal.SIGTERM)
    assert box.outcome().state is JobState.PAUSED


def test_a_broken_finetuning_fails_with_its_alert(box: RunnerBox) -> None:
    box.start_finetuning("rte")
    outcome = box.outcome()
    assert (outcome.state, outcome.exit_code) == (JobState.FAILED, 65)
    assert outcome.reason == "/data/train.tsv: no rows; give a folder in GLUE's layout"


@pytest.mark.parametrize(("verb", "state"), [(CommandKind.PAUSE, JobState.PAUSED), (CommandKind.STOP, JobState.DONE)])
def test_a_launcher_that_does_not_notice_the_end_of_its_ranks_is_killed(
    box: RunnerBox, verb: CommandKind, state: JobState
) -> None:
    box.start(HOLDS.model_copy(update={"has_deaf_launcher": True}))
    box.wait_for_record("step", count=7)
    box.post(verb)
    assert box.outcome().state is state
    assert "its ranks have exited, and their launcher did not end in" in box.log
    assert box.records("restart") == []


def test_ranks_that_died_below_such_a_launcher_are_started_again(box: RunnerBox) -> None:
    death = Death(at_step=7, signal=signal.SIGKILL)
    assert box.run(Plan(deaths={1: death}, has_deaf_launcher=True)).state is JobState.DONE
    (restart,) = box.records("restart")
    assert "their launcher did not end" in str(restart["cause"])
