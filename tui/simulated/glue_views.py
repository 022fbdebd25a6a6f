"""Scores of the simulated machine's finetunings: trials of two exports, of which the later one is better."""

from __future__ import annotations

from bertd.api.models import ScoreView
from bertd.records import JobState, KeptCheckpoint, ScoreRecord
from bertd.run.paths import step_folder_name
from tui.simulated import curves
from tui.simulated.box import BUDGET_S, RUN_ID, STEPS_PER_S, SimulatedBox

_EXPORT_STEPS = (2400, 4800)
_TASKS = {
    "cola": ("matthews", 0.0, 0.41),
    "mrpc": ("f1", 0.812, 0.846),
    "rte": ("accuracy", 0.527, 0.581),
    "sst-2": ("accuracy", 0.509, 0.892),
}
"""Metric, the majority class's score, and ours of the first export."""
_GAIN = 0.03
"""From one export to the next."""
_SETTINGS = ((5e-5, 32), (3e-5, 16))
_SEEDS = (1, 2, 3)
_GRID_ID = 8


def kept() -> list[KeptCheckpoint]:
    """The checkpoints of the exports, newest first."""
    return [
        KeptCheckpoint(
            name=step_folder_name(step),
            step=step,
            progress=step / (BUDGET_S * STEPS_PER_S),
            size_bytes=4 << 30,
            validation_loss=curves.validation_loss(step / (BUDGET_S * STEPS_PER_S)),
            markers=[],
            reasons=["export"],
        )
        for step in reversed(_EXPORT_STEPS)
    ]


def scores(box: SimulatedBox) -> list[ScoreView]:
    """Those of the finished finetunings, then those of the grid."""
    done = [job for job in box.jobs if job.state is JobState.DONE]
    single = [_score(box, job.id, job.name, 4800, 42, 5e-5, 32, 0.312) for job in done]
    grid = [
        _score(box, _GRID_ID, task, step, seed, lr, batch_size, _value(task, number, seed, lr))
        for number, step in enumerate(_EXPORT_STEPS)
        for task in _TASKS
        for lr, batch_size in _SETTINGS
        for seed in _SEEDS
    ]
    return [*single, *grid]


def _value(task: str, number: int, seed: int, lr: float) -> float:
    noise = 0.012 * curves.noise("score", task, number, seed, lr)
    return round(_TASKS[task][2] + _GAIN * number + noise - (0.01 if lr < 4e-5 else 0.0), 4)


def _score(
    box: SimulatedBox, job_id: int, task: str, step: int, seed: int, lr: float, batch_size: int, value: float
) -> ScoreView:
    metric, majority, _ = _TASKS.get(task, _TASKS["cola"])
    return ScoreView(
        job_id=job_id,
        run_id=RUN_ID,
        score=ScoreRecord(
            t=box.epoch - 9000 + step,
            task=task,
            metric=metric,
            score=value,
            majority_score=majority,
            metrics={metric: value},
            majority_metrics={metric: majority},
            num_train=8551,
            num_dev=1043,
            seed=seed,
            lr=lr,
            batch_size=batch_size,
            epochs=3,
            source=f"{RUN_ID}/{step_folder_name(step)}",
            seconds=612.0,
        ),
    )
