"""Which trials of a grid may begin, and what a continued grid decides from its journal."""

from __future__ import annotations

from bertd.jobs.runner.trial_table import TrialTable
from bertd.records import EndRecord, GridRecord, GridSpec, JournalRecord, Preset, ScoreRecord
from bertd.run.finetune_grid import make_trials
from tests.cli import samples


def _spec(*tasks: str, num_seeds: int = 2) -> GridSpec:
    return GridSpec(
        preset=Preset.QUICK,
        source="/export",
        source_name="1-fake/1",
        data_dir="/data",
        num_cpu_workers=2,
        trials=make_trials([*tasks], preset=Preset.QUICK, num_seeds=num_seeds, via="mnli"),
    )


def _name(task: str, seed: int) -> str:
    return f"{task}-lr5e-05-batch32-epochs3-seed{seed}"


def _score(task: str, seed: int, score: float) -> ScoreRecord:
    changes = {"trial": _name(task, seed), "task": task, "seed": seed, "score": score}
    return samples.score().score.model_copy(update=changes)


def _outcome(task: str, seed: int, outcome: str) -> GridRecord:
    return GridRecord.model_validate(
        {"t": 0, "step": 1, "num_trials": 6, "num_failed": 1, "trial": _name(task, seed), "outcome": outcome}
    )


def _table(spec: GridSpec, *records: JournalRecord) -> TrialTable:
    table = TrialTable(spec, records)
    table.queue_rest()
    return table


def _take_all(table: TrialTable) -> list[str]:
    taken = []
    while (trial := table.take()) is not None:
        taken.append(trial.name)
    return taken


def test_trials_from_mnli_wait_for_every_trial_of_mnli_and_start_from_the_best() -> None:
    spec = _spec("mnli", "rte")
    table = _table(spec)
    assert _take_all(table) == [_name("mnli", 42), _name("mnli", 43), _name("rte", 42), _name("rte", 43)]
    assert table.model_trial() is None
    table.add_score(_name("mnli", 42), _score("mnli", 42, 0.7))
    assert _take_all(table) == []
    table.add_score(_name("mnli", 43), _score("mnli", 43, 0.8))
    assert (trial := table.model_trial()) is not None and trial.name == _name("mnli", 43)
    assert _take_all(table) == [_name("rte-from-mnli", 42), _name("rte-from-mnli", 43)]
    assert [each.name for each in table.beaten()] == [_name("mnli", 42)]


def test_a_continued_grid_starts_from_the_same_model() -> None:
    # The scores arrived in another order, and of equal ones the first of the spec is taken.
    table = _table(_spec("mnli", "rte"), _score("mnli", 43, 0.8), _score("mnli", 42, 0.8))
    assert (trial := table.model_trial()) is not None and trial.name == _name("mnli", 42)
    assert table.drop_hopeless() == []


def test_a_diverged_trial_of_mnli_is_passed_over_and_a_failed_one_is_waited_for() -> None:
    spec = _spec("mnli", "rte")
    diverged = _table(spec, _score("mnli", 42, 0.7), _outcome("mnli", 43, "diverged"))
    assert diverged.drop_hopeless() == []
    assert _name("rte-from-mnli", 42) in _take_all(diverged)

    failed: list[JournalRecord] = [_score("mnli", 42, 0.7), _outcome("mnli", 43, "failed")]
    table = _table(spec, *failed)
    verdicts = table.drop_hopeless()
    assert [verdict.trial.name for verdict in verdicts] == [_name("rte-from-mnli", 42), _name("rte-from-mnli", 43)]
    assert {verdict.detail for verdict in verdicts} == {f"waits for {_name('mnli', 43)}, which failed"}
    assert _take_all(table) == [_name("rte", 42), _name("rte", 43)]

    end = EndRecord(t=0, step=2, sequences=0, charged_s=0, reason="failed", detail="")
    resumed = _table(spec, *failed, _outcome("rte-from-mnli", 42, "failed"), end)
    assert _take_all(resumed) == [_name("mnli", 43), _name("rte", 42), _name("rte", 43)]


def test_without_a_score_of_mnli_nothing_starts_from_it() -> None:
    table = _table(_spec("mnli", "rte", num_seeds=1), _outcome("mnli", 42, "diverged"))
    assert [verdict.detail for verdict in table.drop_hopeless()] == ["no trial of mnli has a score"]
