"""State folders as months of use leave them: many jobs, finished runs, and a run with a long journal.

The rows are written by the queue itself, the run folders by the functions that runs use; only nothing trains.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertd.daemon.configuration.sources import ConfigurationSources, read_configuration
from bertd.daemon.new_jobs import draft_job
from bertd.daemon.process.open_queue import open_queue
from bertd.daemon.scheduling.runners import runner_command
from bertd.daemon.wiring import Services, build_services
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState, StartRecord, StepRecord, ValidationRecord
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths, StatePaths
from bertd.run.recipe.load import format_recipe, parse_recipe

BUDGET_HOURS = 2_000
"""More than a month: the run is not over."""
_RECIPE = f"""
[run]
name = "bench"
[budget]
hours = {BUDGET_HOURS}
[data]
shards = "none"
[devices]
kind = "cpu"
count = 1
"""
RECIPE_TEXT = format_recipe(parse_recipe(_RECIPE, name="bench"))


@contextmanager
def open_services(state: Path) -> Iterator[Services]:
    """The daemon's parts over a state folder, in this process."""
    paths = StatePaths(state)
    state.mkdir(parents=True, exist_ok=True)
    paths.runs.mkdir(exist_ok=True)
    sources = ConfigurationSources(folders=(), options={"daemon.state_dir": str(state)})
    with open_queue(paths.queue) as (database, read_only):
        yield build_services(
            paths,
            database=database,
            runner=runner_command,
            sources=sources,
            started=read_configuration(sources),
            read_only=read_only,
        )


def add_run(services: Services, state: Path, *, moves: tuple[JobState, ...] = (), num_devices: int = 1) -> Job:
    """A pretraining with its folder; in the state of the last of `moves`, which follow on queued."""
    now = time.time()
    queue, paths = services.queue, StatePaths(state)
    draft = draft_job(
        JobKind.PRETRAIN,
        name="bench",
        device_kind="cpu",
        num_devices=num_devices,
        priority=0,
        hold=False,
        uid=os.getuid(),
        now=now,
    )
    with services.database.transaction():
        reserved = queue.reserve(draft)
        run = paths.run(f"{reserved.id}-bench")
        job = queue.set_folder(reserved, folder=str(run.root), run_id=run.root.name)
    for folder in (run.root, run.logs, run.control, run.checkpoints, run.exports):
        folder.mkdir(parents=True, exist_ok=True)
    run.recipe.write_text(RECIPE_TEXT)
    for state_after in moves:
        actor = Actor.SCHEDULER if state_after is JobState.STARTING else Actor.RUNNER
        job = queue.move(job.id, state_after, reason="bench", actor=actor, now=now)
    if job.has_runner:
        queue.lease(job.id, {"cpu": num_devices})
    return job


RUNNING = (JobState.STARTING, JobState.RUNNING)
DONE = (*RUNNING, JobState.DONE)


def write_journal(run: RunPaths, *, num_steps: int, first: int = 1) -> None:
    """Append the records of a run that writes one a second, with a validation every ten minutes."""
    began_t = time.time() - first - num_steps
    records: list[StepRecord | ValidationRecord | StartRecord] = [start_record(began_t)] if first == 1 else []
    for step in range(first, first + num_steps):
        records.append(step_record(step, t=began_t + step))
        if step % 600 == 0:
            records.append(validation_record(step, t=began_t + step))
        if len(records) >= 10_000:
            append_records(run.journal, records)
            records = []
    append_records(run.journal, records)


def start_record(t: float) -> StartRecord:
    """Of a CPU run."""
    return StartRecord(
        t=t,
        attempt=1,
        step=0,
        sequences=0,
        charged_s=0.0,
        world_size=1,
        device="cpu",
        device_name="a CPU",
        precision="fp32",
        kernels="eager",
        kernels_reason="a stand-in",
        num_parameters=1_000_000,
        micro_batch=16,
        accumulation=1,
        sequence_length=128,
        train_sequences=1_000_000,
        validation_sequences=1_000,
    )


def step_record(step: int, *, t: float) -> StepRecord:
    """One step a second."""
    return StepRecord(
        t=t,
        step=step,
        sequences=step * 16,
        charged_s=float(step),
        progress=min(1.0, step / (BUDGET_HOURS * 3600)),
        loss=10.0 - 3.0 * min(1.0, step / 1e6) + 0.01 * (step % 7),
        lr=1e-3,
        grad_norm=0.9,
        sequences_per_s=16.0,
        tokens_per_s=2048.0,
        memory_bytes=1 << 30,
        reserve_s=12.5,
    )


def validation_record(step: int, *, t: float) -> ValidationRecord:
    """Of the same run."""
    return ValidationRecord(
        t=t,
        step=step,
        sequences=step * 16,
        charged_s=float(step),
        progress=min(1.0, step / (BUDGET_HOURS * 3600)),
        loss=10.0 - 3.0 * min(1.0, step / 1e6),
        num_tokens=10_000,
        unigram_loss=7.0,
        unigram_entropy=7.0,
        seconds=1.0,
    )
