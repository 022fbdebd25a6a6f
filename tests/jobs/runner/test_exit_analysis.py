from __future__ import annotations

import signal

import pytest

from bertd import errors
from bertd.jobs.runner.exit_analysis import (
    KNOWN_EXITS,
    PERMANENT,
    Crash,
    classify_exit_code,
    classify_finetune_exit,
    classify_pretrain_exit,
    outcome_of_giving_up,
)
from bertd.records import (
    AlertRecord,
    CheckpointRecord,
    EndRecord,
    ExitClass,
    JobState,
    JournalRecord,
    Outcome,
    StateRecord,
    StepRecord,
)

STEP = StepRecord(
    t=0, step=5, sequences=5, charged_s=1, progress=0.1, loss=1, lr=1, grad_norm=1, sequences_per_s=1, tokens_per_s=1
)
PAUSED = StateRecord(t=0, step=5, charged_s=1, state=JobState.PAUSED, reason="requested by a person")
ENDED = EndRecord(t=0, step=5, sequences=5, charged_s=1, reason="budget", detail="the budget is spent")
ALERT = AlertRecord(t=0, step=5, level="error", code="numerics", message="loss is NaN at step 5; lower peak_lr")
CHECKPOINT = CheckpointRecord(
    t=0, step=5, charged_s=1, name="step-000000005", size_bytes=1, seconds=1, stall_s=1, why="end"
)


def judge(exit_code: int, *records: JournalRecord, shutdown_requested: bool = False) -> Outcome | Crash:
    return classify_pretrain_exit(exit_code, list(records), shutdown_requested=shutdown_requested)


@pytest.mark.parametrize("exit_code", [0, 1, -9, 137, 76])
def test_an_end_in_the_journal_outranks_the_exit_code(exit_code: int) -> None:
    assert judge(exit_code, STEP, ENDED) == Outcome(state=JobState.DONE, reason="the budget is spent", exit_code=0)


@pytest.mark.parametrize("exit_code", [0, 1, -15])
def test_a_pause_in_the_journal_outranks_the_exit_code(exit_code: int) -> None:
    verdict = judge(exit_code, STEP, PAUSED, CHECKPOINT)
    assert isinstance(verdict, Outcome)
    assert verdict.state is JobState.PAUSED


def test_a_pause_behind_which_steps_were_done_is_not_how_it_ended() -> None:
    assert isinstance(judge(-9, PAUSED, STEP), Crash)


def test_every_exit_code_of_an_error_that_a_restart_cannot_mend_is_known() -> None:
    # Or of commands alone, such as a folder that exists already.
    mended_by_a_restart = {1, 4, 5, 73, 75}
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.BertdError)
    }
    assert codes - mended_by_a_restart == set(KNOWN_EXITS)


@pytest.mark.parametrize("exit_code", [code for code in sorted(KNOWN_EXITS) if classify_exit_code(code) in PERMANENT])
def test_a_permanent_error_fails_with_the_alert_as_its_reason(exit_code: int) -> None:
    verdict = judge(exit_code, STEP, ALERT)
    assert verdict == Outcome(state=JobState.FAILED, reason=ALERT.message, exit_code=exit_code)


def test_a_signal_is_a_crash_that_names_it() -> None:
    for exit_code in (-signal.SIGSEGV, 128 + signal.SIGSEGV):
        verdict = judge(exit_code, STEP)
        assert isinstance(verdict, Crash)
        assert verdict.cause == "rank died by signal 11 (SIGSEGV); last log lines in logs/job.log"


@pytest.mark.parametrize(
    ("exit_code", "oom_kills", "exit_class"),
    [
        (-signal.SIGKILL, 0, ExitClass.TRANSIENT),
        (128 + signal.SIGKILL, 1, ExitClass.RESOURCE),
        (-signal.SIGSEGV, 1, ExitClass.TRANSIENT),
        (1, 0, ExitClass.TRANSIENT),
        (errors.StorageError.exit_code, 0, ExitClass.RESOURCE),
        (errors.RecipeError.exit_code, 0, ExitClass.CONFIGURATION),
        (errors.DeviceError.exit_code, 0, ExitClass.CONFIGURATION),
        (errors.NumericsError.exit_code, 0, ExitClass.NUMERIC),
        (errors.CheckpointError.exit_code, 0, ExitClass.DATA),
        (-signal.SIGBUS, 0, ExitClass.DATA),
    ],
)
def test_a_death_has_the_class_that_decides_about_a_restart(
    exit_code: int, oom_kills: int, exit_class: ExitClass
) -> None:
    assert classify_exit_code(exit_code, oom_kills=oom_kills) is exit_class
    verdict = classify_pretrain_exit(exit_code, [STEP], shutdown_requested=False, oom_kills=oom_kills)
    assert isinstance(verdict, Outcome) is (exit_class in PERMANENT)


def test_a_data_set_that_was_cut_short_under_the_run_is_named() -> None:
    verdict = judge(-signal.SIGBUS, STEP)
    assert isinstance(verdict, Outcome)
    assert "the data set was changed during the run" in verdict.reason


def test_a_rank_that_the_kernel_killed_for_memory_says_so() -> None:
    verdict = classify_pretrain_exit(137, [STEP], shutdown_requested=False, oom_kills=2)
    assert isinstance(verdict, Crash)
    assert "the kernel killed it, since the machine's memory ran out: lower batch.micro" in verdict.cause
    given_up = outcome_of_giving_up(verdict, exit_code=137, checkpoint=None, best_step=0)
    assert given_up.exit_code == errors.DeviceMemoryError.exit_code


def test_a_finetuning_that_the_kernel_killed_for_memory_says_so() -> None:
    for exit_code in (-9, 137):
        outcome = classify_finetune_exit(exit_code, [], shutdown_requested=False, stop_requested=False, oom_kills=1)
        assert (outcome.state, outcome.exit_code) == (JobState.FAILED, errors.DeviceMemoryError.exit_code)
        assert "the machine's memory ran out: lower batch_size" in outcome.reason
    killed = classify_finetune_exit(-9, [], shutdown_requested=False, stop_requested=False)
    assert killed.exit_code != errors.DeviceMemoryError.exit_code and "memory" not in killed.reason


def test_an_exit_without_a_word_is_a_crash() -> None:
    assert isinstance(judge(0, STEP), Crash)
    assert isinstance(judge(1, STEP), Crash)


def test_ranks_that_were_told_to_end_and_had_no_time_to_save_are_paused() -> None:
    verdict = judge(-15, shutdown_requested=True)
    assert isinstance(verdict, Outcome)
    assert verdict.state is JobState.PAUSED


def test_a_finetuning_that_was_stopped_is_cancelled() -> None:
    outcome = classify_finetune_exit(-9, [], shutdown_requested=False, stop_requested=True)
    assert outcome.state is JobState.CANCELLED


def test_a_finetuning_that_finished_before_the_stop_is_done() -> None:
    finished = ENDED.model_copy(update={"reason": "finished", "detail": "cola 0.3"})
    outcome = classify_finetune_exit(0, [finished], shutdown_requested=False, stop_requested=True)
    assert (outcome.state, outcome.reason) == (JobState.DONE, "cola 0.3")


def test_a_finetuning_without_a_score_has_failed() -> None:
    assert classify_finetune_exit(0, [], shutdown_requested=False, stop_requested=False).state is JobState.FAILED


HELD = StateRecord(t=0, step=5, charged_s=1, state=JobState.PAUSED, reason="requested by a person", is_hot=True)
RESUMED = StateRecord(t=0, step=5, charged_s=1, state=JobState.RUNNING, reason="continues", monotonic_s=3.0)


def test_ranks_that_die_while_they_are_held_leave_a_paused_run() -> None:
    verdict = judge(-9, STEP, HELD)
    assert isinstance(verdict, Outcome)
    assert verdict.state is JobState.PAUSED
    assert verdict.reason.startswith("its ranks died while they were suspended (rank died by signal 9 (SIGKILL)")


def test_ranks_that_died_after_a_hold_are_started_again() -> None:
    assert isinstance(judge(-9, STEP, HELD, RESUMED, STEP), Crash)
    assert isinstance(judge(-9, STEP, HELD, RESUMED), Crash)
