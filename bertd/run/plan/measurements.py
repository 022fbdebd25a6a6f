"""What a run's journal tells about its machine: how long its start, steps, validations, saves and end take.

    start                    steps, with validations and saves between them                      end
    |---- start_s ----|-------------------------------------------------------------------|- reserve_s -|
      launch, choosing,      sequences_per_s counts training alone; validation_s and save_stall_s    last validation,
      compiling, first       are what each of the others adds                                        save, export
      validation, first step

A short rehearsal of a recipe and a finished run of a day are read alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean, median
from typing import Annotated

from pydantic import Field

from bertd.errors import RunFolderError
from bertd.records import (
    CheckpointRecord,
    JournalRecord,
    Record,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.budget import end_reserve_s

_STEADY_SHARE = 0.5
"""Speed is taken from the last half of the step records: a machine is slower, or faster, while it warms up."""
_MIN_STEP_RECORDS = 2


class Measurements(Record):
    """One machine's speed at one recipe; seconds are charged seconds."""

    source: str
    """Where they come from, as text: a rehearsal, or a run."""
    device: str
    """cpu or cuda."""
    device_name: str
    num_devices: int
    precision: str
    kernels: str
    num_parameters: int
    micro_batch: int
    step_sequences: int
    """In one update, when the speed was measured."""
    sequence_length: int
    train_sequences: int
    """Of one epoch."""
    validation_sequences: int
    sequences_per_s: Annotated[float, Field(gt=0)]
    """Over all devices, in training alone: the mean of the last half of the records."""
    speed_spread: float
    """Half the distance between the quartiles of the records' speeds, as a share of their median."""
    start_s: float
    """Until the first update was done, with all that stands in front of it."""
    choose_s: float
    """Of start_s: trials for what the recipe leaves open."""
    compile_s: float
    """Of start_s."""
    validation_s: float
    """One validation."""
    save_stall_s: float
    """What one checkpoint between steps stops training for."""
    checkpoint_bytes: int
    reserve_s: float
    """What a timed run keeps for its last validation, save and export."""
    memory_bytes: int | None
    """Peak of one device: on a GPU what the allocator held, on CPU the resident set of rank 0."""
    data_wait: float
    """Share of the time that rank 0 waited for data, 0..1."""
    other_load: float | None = None
    """Cores that other processes kept busy before a rehearsal on CPU; None where it was not looked at."""
    is_estimate: bool = False
    """Nothing was measured: they are from a data sheet."""
    mfu: float | None
    """Model FLOP/s over the devices' peak; None if the peak is not known."""


class _Reading:
    """Collects the records of the newest attempt."""

    def __init__(self) -> None:
        self.start: StartRecord | None = None
        self.startup: StartupRecord | None = None
        self.steps: list[StepRecord] = []
        self.validations: list[ValidationRecord] = []
        self.saves: list[CheckpointRecord] = []
        self.first_start_s: float | None = None

    def add(self, record: JournalRecord) -> None:
        match record:
            case StartRecord():
                # An earlier attempt may have had other devices, kernels or batches.
                self.start, self.startup = record, None
                self.steps, self.validations, self.saves = [], [], []
            case StartupRecord():
                self.startup = record
                if self.first_start_s is None:
                    self.first_start_s = record.charged_s
            case StepRecord():
                self.steps.append(record)
            case ValidationRecord():
                if record.share == 1.0:
                    self.validations.append(record)
            case CheckpointRecord():
                self.saves.append(record)


def read_measurements(records: Iterable[JournalRecord], *, source: str) -> Measurements:
    """What these records of one run, oldest first, measured.

    Args:
        source: of them, as text.

    Raises:
        RunFolderError: they do not go far enough to measure a step.
    """
    reading = _Reading()
    for record in records:
        reading.add(record)
    start, startup, steps = reading.start, reading.startup, reading.steps
    if start is None or startup is None or len(steps) < _MIN_STEP_RECORDS:
        raise RunFolderError(f"{source}: no steps were measured; it must have trained for a few seconds")
    if not reading.validations:
        raise RunFolderError(f"{source}: no validation was measured; it must have validated once")
    steady = steps[int(len(steps) * (1 - _STEADY_SHARE)) :]
    speeds = sorted(record.sequences_per_s for record in steady)
    between = [save.stall_s for save in reading.saves if save.why not in ("start", "end")]
    done = [record for record in steps if record.step > startup.step] or steps
    first, last = steps[0], done[-1]
    return Measurements(
        source=source,
        device=start.device,
        device_name=start.device_name,
        num_devices=start.world_size,
        precision=start.precision,
        kernels=start.kernels,
        num_parameters=start.num_parameters,
        micro_batch=start.micro_batch,
        step_sequences=_step_sequences(first, last) or start.micro_batch * start.accumulation * start.world_size,
        sequence_length=start.sequence_length,
        train_sequences=start.train_sequences,
        validation_sequences=start.validation_sequences,
        sequences_per_s=mean(speeds),
        speed_spread=(speeds[len(speeds) * 3 // 4] - speeds[len(speeds) // 4]) / 2 / median(speeds),
        start_s=startup.charged_s if reading.first_start_s == startup.charged_s else startup.total_s,
        choose_s=startup.choose_s,
        compile_s=startup.compile_s,
        validation_s=median(record.seconds for record in reading.validations),
        save_stall_s=median(between or [save.stall_s for save in reading.saves] or [0.0]),
        checkpoint_bytes=max((save.size_bytes for save in reading.saves), default=0),
        reserve_s=_reserve_s(reading),
        memory_bytes=max((record.memory_bytes for record in steps if record.memory_bytes is not None), default=None),
        data_wait=median(record.data_wait for record in steady),
        mfu=_median_or_none([record.mfu for record in steady if record.mfu is not None]),
    )


def _reserve_s(reading: _Reading) -> float:
    """As the ranks reported it, or as they would."""
    reported_s = reading.steps[-1].reserve_s
    if reported_s is not None:
        return reported_s
    save_s = max((save.seconds for save in reading.saves), default=None)
    return end_reserve_s(validation_s=max(each.seconds for each in reading.validations), save_s=save_s)


def _step_sequences(first: StepRecord, last: StepRecord) -> int:
    """Sequences of one update between two records; 0 if it is the same one."""
    steps = last.step - first.step
    return round((last.sequences - first.sequences) / steps) if steps > 0 else 0


def _median_or_none(values: list[float]) -> float | None:
    return median(values) if values else None
