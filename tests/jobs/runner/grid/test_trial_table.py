"""Which trials of a grid may begin, and what a continued grid decides from its journal."""

from __future__ import annotations

from bertd.jobs.runner.grid.trial_table import TrialTable
from bertd.records import EndRecord, GridRecord, GridSpec, JournalRecord, Preset, ScoreRecord
from bertd.run.grid.finetune_grid import make_trials
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
    assert table.end_hopeless() == []


def test_a_diverged_trial_of_mnli_is_passed_over_and_a_failed_one_is_waited_for() -> None:
    spec = _spec("mnli", "rte")
    diverged = _table(spec, _score("mnli", 42, 0.7), _outcome("mnli", 43, "diverged"))
    assert diverged.end_hopeless() == []
    assert _name("rte-from-mnli", 42) in _take_all(diverged)

    failed: list[JournalRecord] = [_score("mnli", 42, 0.7), _outcome("mnli", 43, "failed")]
    table = _table(spec, *failed)
    verdicts = table.end_hopeless()
    assert [verdict.trial.name for verdict in verdicts] == [_name("rte-from-mnli", 42), _name("rte-from-mnli", 43)]
    assert {verdict.detail for verdict in verdicts} == {f"waits for {_name('mnli', 43)}, which failed"}
    assert _take_all(table) == [_name("rte", 42), _name("rte", 43)]

    end = EndRecord(t=0, step=2, sequences=0, charged_s=0, reason="failed", detail="")
    resumed = _table(spec, *failed, _outcome("rte-from-mnli", 42, "failed"), end)
    assert _take_all(resumed) == [_name("mnli", 43), _name("rte", 42), _name("rte", 43)]


def _halving(tasks: tuple[str, ...] = ("cola",), *, num_seeds: int = 3) -> GridSpec:
    trials = make_trials([*tasks], preset=Preset.SEARCH, num_seeds=num_seeds)
    few = [trial for trial in trials if (trial.lr, trial.batch_size) in ((1e-5, 16), (3e-5, 16)) and trial.epochs < 10]
    return _spec("mnli").model_copy(update={"trials": few, "is_halving": True})


def _score_all(table: TrialTable, names: list[str], merits: dict[str, float]) -> None:
    for name in names:
        setting = name.rpartition("-seed")[0].removeprefix("cola-")
        score = samples.score().score.model_copy(update={"trial": name, "score": merits[setting]})
        table.add_score(name, score)


def test_beaten_settings_get_no_further_seed_and_the_table_says_so() -> None:
    table = _table(_halving())
    merits = {
        **{"lr1e-05-batch16-epochs3": 0.1, "lr1e-05-batch16-epochs5": 0.4},
        **{"lr3e-05-batch16-epochs3": 0.3, "lr3e-05-batch16-epochs5": 0.2},
    }
    first = _take_all(table)
    assert len(first) == 4 and all(name.endswith("seed42") for name in first)
    _score_all(table, first[:3], merits)
    assert (table.end_hopeless(), _take_all(table)) == ([], [])
    _score_all(table, first[3:], merits)
    dropped = table.end_hopeless()
    assert {verdict.outcome for verdict in dropped} == {"dropped"}
    assert sorted(verdict.trial.name.partition("-lr")[2] for verdict in dropped) == [
        *("1e-05-batch16-epochs3-seed43", "1e-05-batch16-epochs3-seed44"),
        *("3e-05-batch16-epochs5-seed43", "3e-05-batch16-epochs5-seed44"),
    ]
    assert {verdict.detail for verdict in dropped} == {"beaten after 1 seed; the best 2 of 4 continue"}
    for verdict in dropped:
        table.unscored[verdict.trial.name] = _outcome("", 0, "dropped")

    second = _take_all(table)
    assert len(second) == 2 and all(name.endswith("seed43") for name in second)
    _score_all(table, second, merits)
    (last,) = table.end_hopeless()
    assert (last.trial.lr, last.trial.epochs, last.detail) == (
        3e-5,
        3,
        "beaten after 2 seeds; the best 1 of 4 continue",
    )


def test_a_continued_grid_drops_the_same_settings_and_none_while_a_trial_has_failed() -> None:
    spec = _halving(num_seeds=2)
    names = [trial.name for trial in spec.trials if trial.seed == 42]
    scores = [
        samples.score().score.model_copy(update={"trial": name, "score": number / 10})
        for number, name in enumerate(names)
    ]
    table = _table(spec, *reversed(scores))
    assert [verdict.trial.name for verdict in table.end_hopeless()] == [
        name.replace("seed42", "seed43") for name in names[:2]
    ]
    failed = _outcome("", 0, "failed").model_copy(update={"trial": names[0]})
    waiting = _table(spec, *scores[1:], failed)
    verdicts = waiting.end_hopeless()
    assert [verdict.outcome for verdict in verdicts] == ["failed"] * 4
    assert {verdict.detail for verdict in verdicts} == {f"waits for {names[0]}, which failed"}


def test_without_a_score_of_mnli_nothing_starts_from_it() -> None:
    table = _table(_spec("mnli", "rte", num_seeds=1), _outcome("mnli", 42, "diverged"))
    assert [verdict.detail for verdict in table.end_hopeless()] == ["no trial of mnli has a score"]
