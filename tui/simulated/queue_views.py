"""What the simulated daemon says of single jobs and of sweeps."""

from __future__ import annotations

from bertd.api.models import DependencyView, JobView
from bertd.api.sweep_models import SettingView, SweepView
from bertd.errors import UnknownJobError
from bertd.records import (
    DependencyCondition,
    DependencyState,
    JobState,
    SettingState,
    SweepRung,
    SweepState,
)
from tui.simulated import views
from tui.simulated.box import SimulatedBox

_DEPENDENCIES = {14: 13}
"""The job that another one waits for."""
_RUNG_S = 3600.0


def job(box: SimulatedBox, job_id: int) -> JobView:
    """One job, with what it waits for and its position.

    Raises:
        UnknownJobError: there is no such job.
    """
    known = {each.id: each for each in views.status(box).jobs}
    if job_id not in known:
        raise UnknownJobError(f"no job {job_id}; `bertd jobs` lists them")
    found = known[job_id]
    waiting = [each.id for each in box.waiting]
    return found.model_copy(
        update={
            "after": [_dependency(known[other]) for other in (_DEPENDENCIES.get(job_id),) if other in known],
            "position": waiting.index(job_id) + 1 if job_id in waiting else None,
        }
    )


def sweeps(box: SimulatedBox) -> list[SweepView]:
    """A sweep that is over; its runs are among those of the archive."""
    settings = [
        SettingView(
            number=number,
            values={"optimizer.peak_lr": rate},
            state=SettingState.FINISHED if len(losses) == 2 else SettingState.DROPPED,
            reason="" if len(losses) == 2 else "3 of 3 after an hour; the best 2 continue",
            rank=rank,
            losses=losses,
            charged_s=2 * _RUNG_S if len(losses) == 2 else _RUNG_S,
            job_id=number,
            run_id=f"{number}-rates-00{number}",
            job_state=JobState.DONE,
        )
        for number, rate, losses, rank in (
            (1, "1e-3", [2.61, 2.37], 2),
            (2, "2e-3", [2.52, 2.26], 1),
            (3, "4e-3", [3.94], 3),
        )
    ]
    return [
        SweepView(
            id=1,
            name="rates",
            state=SweepState.DONE,
            reason="",
            folder="/var/lib/bertd/sweeps/1-rates",
            recipe_name="titan-v-8",
            rungs=[SweepRung(at_s=_RUNG_S, keep=2 / 3)],
            end_s=2 * _RUNG_S,
            num_settings=len(settings),
            num_by_state={SettingState.FINISHED: 2, SettingState.DROPPED: 1},
            charged_s=5 * _RUNG_S,
            max_charged_s=6 * _RUNG_S,
            winner=2,
            winner_recipe="/var/lib/bertd/sweeps/1-rates/winner.toml",
            created_t=box.epoch - 600_000,
            ended_t=box.epoch - 570_000,
            settings=settings,
        )
    ]


def _dependency(other: JobView) -> DependencyView:
    is_met = other.state is JobState.DONE
    return DependencyView(
        job_id=other.id,
        name=other.name,
        condition=DependencyCondition.DONE,
        marker=None,
        state=DependencyState.WAITING,
        is_met=is_met,
    )
