"""bertd.run.progress: the same journal gives every reader the same progress."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.errors import QueueError
from bertd.metrics.budget_view import current_budget
from bertd.metrics.journal_summary import JournalSummary, fold
from bertd.records import (
    AlertRecord,
    BudgetRecord,
    BudgetRequest,
    BudgetUnit,
    CheckpointRecord,
    CommandKind,
    CommandRecord,
    DevicesRecord,
    EndRecord,
    JobState,
    JournalRecord,
    RollbackRecord,
    StartRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.budget import Budget, RunPosition, check_budget_request, make_budget_record
from bertd.run.journal import append_records
from bertd.run.journal_digest import read_progress
from bertd.run.progress import RunProgress, fold_records
from bertd.run.recipe.load import parse_recipe
from bertd.train.loop.budget_tracker import BudgetTracker, NoClock

STEP = StepRecord(
    t=0.0,
    step=50,
    sequences=500,
    charged_s=10.0,
    progress=0.5,
    loss=5.0,
    lr=1e-3,
    grad_norm=1.0,
    sequences_per_s=50.0,
    tokens_per_s=6400.0,
)
SAVED = CheckpointRecord(
    t=0.0,
    step=58,
    sequences=580,
    charged_s=11.5,
    name="step-000000058",
    size_bytes=1,
    seconds=0.1,
    stall_s=0.1,
    why="pause",
)
VALIDATED = ValidationRecord(
    t=0.0,
    step=58,
    sequences=580,
    charged_s=11.5,
    progress=0.6,
    loss=4.0,
    num_tokens=1,
    unigram_entropy=6.0,
    seconds=1.0,
)
ENDED = EndRecord(t=0.0, step=58, sequences=580, charged_s=11.5, reason="budget", detail="")
ROLLED_BACK = RollbackRecord(
    t=0.0,
    step=40,
    sequences=580,
    charged_s=11.5,
    from_step=58,
    skipped_sequences=180,
    cause="a test",
    number=1,
)


@pytest.mark.parametrize("later", [SAVED, VALIDATED, ENDED])
def test_a_step_that_was_saved_validated_or_ended_with_was_done(
    later: CheckpointRecord | ValidationRecord | EndRecord,
) -> None:
    progress = fold_records([STEP, later])
    assert (progress.step, progress.best_step, progress.sequences, progress.charged_s) == (58, 58, 580, 11.5)


@pytest.mark.parametrize("unit", [BudgetUnit.STEPS, BudgetUnit.SEQUENCES])
def test_every_reader_counts_the_same_steps_of_a_paused_run_and_the_same_budget(
    tmp_path: Path, unit: BudgetUnit
) -> None:
    """The daemon, which checks a changed budget, the runner, which journals it, and the ranks, which train by it."""
    text = f'[run]\nname = "x"\n[budget]\n{unit} = 10000\n[data]\nshards = "/s"\n'
    recipe = parse_recipe(text, name="x.toml")
    paused = StateRecord(t=0.0, step=58, charged_s=11.5, state=JobState.PAUSED, reason="requested by a person")
    journal: list[JournalRecord] = [STEP, SAVED, paused]
    done = {BudgetUnit.STEPS: 58, BudgetUnit.SEQUENCES: 580}[unit]
    position = RunPosition(t=0.0, step=58, sequences=580, charged_s=11.5)
    change = make_budget_record(BudgetRequest(unit=unit, amount=20_000), recipe.granted, position=position)
    assert change is not None and change.spent == done
    for records, amount in ((journal, 10_000), ([*journal, change], 20_000)):
        append_records(tmp_path / f"{amount}.jsonl", records)
        summary = JournalSummary()
        for record in records:
            summary = fold(summary, record)
        runner = read_progress(tmp_path / f"{amount}.jsonl")
        ranks = BudgetTracker(recipe, clock=NoClock(), plan=runner.budget_plan(recipe.granted))
        assert summary.progress == runner == fold_records(records)
        assert (runner.step, runner.sequences) == (58, 580)
        assert current_budget(recipe, summary) == ranks.granted and ranks.granted.amount == amount
        assert ranks.granted.spent(charged_s=0.0, steps=runner.step, sequences=runner.sequences) == done
        with pytest.raises(QueueError, match="is too little"):
            check_budget_request(BudgetRequest(unit=unit, amount=done), ranks.granted, spent=done)


def test_a_checkpoint_of_an_earlier_step_changes_nothing() -> None:
    # It is reported when it is on disk; training has continued meanwhile.
    earlier = SAVED.model_copy(update={"step": 45, "sequences": 450, "charged_s": 9.0})
    saved = {"saved_step": 45, "saved_sequences": 450}
    assert fold_records([STEP, earlier]) == fold_records([STEP]).model_copy(update=saved)


def test_a_checkpoint_of_an_earlier_bertd_has_no_sequences_and_moves_nothing() -> None:
    progress = fold_records([STEP, SAVED.model_copy(update={"sequences": None})])
    assert (progress.step, progress.sequences, progress.best_step) == (50, 500, 58)


def test_a_rollback_or_a_restart_goes_back_and_the_best_step_stays() -> None:
    progress = fold_records([STEP, SAVED, ROLLED_BACK])
    assert (progress.step, progress.best_step, progress.sequences) == (40, 58, 580)
    restarted = progress.with_record(start(world_size=1))
    assert (restarted.step, restarted.best_step, restarted.sequences) == (0, 58, 0)


def test_the_charge_is_the_highest_that_any_record_has() -> None:
    paused = StateRecord(t=0.0, step=50, charged_s=12.0, state=JobState.PAUSED, reason="")
    assert fold_records([STEP, paused, SAVED]).charged_s == 12.0


def test_the_newest_reserve_counts_and_a_record_without_one_does_not() -> None:
    records: list[JournalRecord] = [
        VALIDATED.model_copy(update={"reserve_s": 13.0}),
        STEP.model_copy(update={"reserve_s": 40.0}),
        STEP,
        SAVED,
    ]
    assert fold_records(records).reserve_s == 40.0
    assert fold_records([STEP]).reserve_s is None


def test_a_journal_without_any_charge_says_so() -> None:
    assert fold_records([AlertRecord(t=0.0, step=0, level="error", code="x", message="x")]).charged_s is None


def test_the_newest_answered_command_counts() -> None:
    def answer(number: int) -> CommandRecord:
        return CommandRecord(t=1, step=1, number=number, verb=CommandKind.CHECKPOINT, outcome="done", detail="")

    assert fold_records([answer(1), answer(2), STEP]).acknowledged == 2
    assert fold_records([STEP]).acknowledged == 0


def test_a_budget_change_that_a_restart_went_back_over_is_void() -> None:
    def change(*, spent: float, after: float) -> BudgetRecord:
        return BudgetRecord(
            t=0.0, step=1, sequences=1, charged_s=1.0, unit=BudgetUnit.STEPS, before=100.0, after=after, spent=spent
        )

    steps = Budget(unit=BudgetUnit.STEPS, amount=100.0, num_devices=1)
    records = [change(spent=20, after=200), change(spent=50, after=300), change(spent=40, after=150)]
    plan = fold_records(records).budget_plan(steps)
    assert [(each.spent, each.amount) for each in plan.changes] == [(20, 200), (40, 150)]
    assert plan.granted.amount == 150


def test_progress_is_read_from_the_whole_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert read_progress(path) == RunProgress()
    append_records(path, [STEP, SAVED])
    assert read_progress(path) == fold_records([STEP, SAVED])


def test_progress_survives_being_stored() -> None:
    progress = fold_records([start(world_size=8), moved(8, 4, charged_s=3600.0), STEP, SAVED])
    assert RunProgress.model_validate_json(progress.model_dump_json()) == progress


# ---- Devices -------------------------------------------------------------------------------------------


def start(*, world_size: int) -> StartRecord:
    return StartRecord(
        t=0.0,
        attempt=1,
        step=0,
        sequences=0,
        charged_s=2.0,
        world_size=world_size,
        device="cuda",
        device_name="a GPU",
        precision="bf16",
        kernels="eager",
        kernels_reason="x",
        num_parameters=1,
        micro_batch=1,
        accumulation=1,
        sequence_length=128,
        train_sequences=1,
        validation_sequences=1,
    )


def moved(before: int, after: int, *, charged_s: float) -> DevicesRecord:
    return DevicesRecord(t=0.0, step=0, charged_s=charged_s, before=before, after=after)


def test_gpu_hours_count_each_stretch_by_the_devices_it_had() -> None:
    # The recipe has the newest number: 24 GPU-hours, an hour on 8 GPUs, two on 4, the rest on 2.
    budget = Budget(unit=BudgetUnit.GPU_HOURS, amount=24, num_devices=2)
    plan = fold_records(
        [start(world_size=8), moved(8, 4, charged_s=3600), moved(4, 2, charged_s=3 * 3600)]
    ).budget_plan(budget)
    granted = plan.granted
    assert granted.spent(charged_s=3 * 3600, steps=0, sequences=0) == 16
    assert granted.spent(charged_s=5 * 3600, steps=0, sequences=0) == 20
    assert granted.total_s == 7 * 3600
    assert granted.progress(charged_s=7 * 3600, steps=0, sequences=0) == 1.0
    assert granted.convert_seconds(1800) == 1.0
    # Recorded twice, as after a crash between journal and recipe, it counts once.
    again = fold_records(
        [start(world_size=8), *[moved(8, 4, charged_s=3600)] * 2, moved(4, 2, charged_s=3 * 3600)]
    ).budget_plan(budget)
    assert again == plan


def test_an_attempt_tells_what_devices_the_first_stretch_had() -> None:
    budget = Budget(unit=BudgetUnit.GPU_HOURS, amount=24, num_devices=4)
    first = [start(world_size=8)]
    assert fold_records(first).budget_plan(budget).granted.spent(charged_s=1800, steps=0, sequences=0) == 4
    later = fold_records([*first, moved(8, 4, charged_s=1800), start(world_size=4)]).budget_plan(budget).granted
    assert later.spent(charged_s=3600, steps=0, sequences=0) == 6


def test_a_change_of_devices_that_a_crash_came_between_is_not_counted() -> None:
    # Recorded, but a crash came before the recipe was written; the person then resumed the run unchanged.
    budget = Budget(unit=BudgetUnit.GPU_HOURS, amount=24, num_devices=1)
    plan = fold_records([start(world_size=1), moved(1, 2, charged_s=3600), start(world_size=1)]).budget_plan(budget)
    assert plan.granted.spent(charged_s=2 * 3600, steps=0, sequences=0) == 2


@given(
    counts=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    stretches_s=st.lists(st.floats(1, 1e4), min_size=5, max_size=5),
)
def test_however_often_the_devices_change_gpu_hours_are_spent_without_a_jump(
    counts: list[int], stretches_s: list[float]
) -> None:
    recipe_budget = budget = Budget(unit=BudgetUnit.GPU_HOURS, amount=1e3, num_devices=counts[0])
    progress = RunProgress()
    at_s = 0.0
    for before, after, stretch_s in zip(counts, counts[1:], stretches_s, strict=False):
        at_s += stretch_s
        spent = budget.spent(charged_s=at_s, steps=0, sequences=0)
        progress = progress.with_record(moved(before, after, charged_s=at_s))
        budget = progress.budget_plan(recipe_budget).granted
        assert budget.spent(charged_s=at_s, steps=0, sequences=0) == pytest.approx(spent)
    assert budget.total_s is not None
    assert budget.spent(charged_s=budget.total_s, steps=0, sequences=0) == pytest.approx(1e3)
