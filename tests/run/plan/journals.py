"""A simulated run of known speed, and the journal that it would write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bertd.records import (
    CheckpointRecord,
    JournalRecord,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.amounts.durations import parse_duration
from bertd.run.budget import end_reserve_s, training_end
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.schema import Recipe


def make_recipe(*overrides: str) -> Recipe:
    """The demo's recipe with overrides, which never reads its data set."""
    return read_recipe(find_recipe("demo"), overrides=["data.shards=/nowhere", *overrides])


@dataclass(frozen=True)
class SimulatedMachine:
    """Seconds of each thing that a run does."""

    start_s: float = 6.0
    choose_s: float = 0.0
    compile_s: float = 2.0
    step_s: float = 0.1
    validation_s: float = 0.4
    save_s: float = 0.2
    stall_s: float = 0.05
    memory_bytes: int = 1 << 30

    def run(
        self, recipe: Recipe, *, until_s: float | None = None, world_size: int | None = None
    ) -> Iterator[JournalRecord]:
        """The journal of a run, until its training ends or `until_s`."""
        t = self.start_s
        yield self._start(recipe, world_size=world_size or recipe.devices.count)
        yield self._validation(recipe, step=0, t=t)
        yield StartupRecord(
            t=t,
            attempt=1,
            step=1,
            charged_s=t,
            choose_s=self.choose_s,
            build_s=0.5,
            compile_s=self.compile_s,
            first_step_s=self.step_s,
            total_s=t,
        )
        total_s = recipe.granted.total_s
        assert total_s is not None
        reserve_s = end_reserve_s(validation_s=self.validation_s, save_s=self.save_s)
        end_s = training_end(total_s, reserve=reserve_s)
        step, next_validation_s, next_save_s = 1, self._next_validation_s(recipe, t), t
        next_save_s += recipe.checkpoint.interval_s(total_s)
        while t + self.step_s <= end_s and (until_s is None or t < until_s):
            t += self.step_s
            step += 1
            yield self._step(recipe, step=step, t=t, reserve_s=reserve_s)
            if t >= next_validation_s:
                t += self.validation_s
                yield self._validation(recipe, step=step, t=t)
                next_validation_s = self._next_validation_s(recipe, t)
            if t >= next_save_s:
                t += self.stall_s
                yield self._save(step=step, t=t)
                next_save_s = t + recipe.checkpoint.interval_s(total_s)

    def _next_validation_s(self, recipe: Recipe, t: float) -> float:
        section, total_s = recipe.validation, recipe.granted.total_s or 0.0
        return t + parse_duration(section.early_every if t < section.early_until * total_s else section.every)

    def _start(self, recipe: Recipe, *, world_size: int) -> StartRecord:
        return StartRecord(
            t=0.0,
            attempt=1,
            step=0,
            sequences=0,
            charged_s=1.0,
            world_size=world_size,
            device="cpu",
            device_name="a simulated core",
            precision="fp32",
            kernels="eager",
            kernels_reason="",
            num_parameters=2_000_000,
            micro_batch=8,
            accumulation=1,
            sequence_length=recipe.data.sequence_length,
            train_sequences=10_000,
            validation_sequences=256,
        )

    def _step(self, recipe: Recipe, *, step: int, t: float, reserve_s: float) -> StepRecord:
        sequences = recipe.batch.sequences
        return StepRecord(
            t=t,
            step=step,
            sequences=step * sequences,
            charged_s=t,
            progress=0.5,
            loss=5.0,
            lr=1e-3,
            grad_norm=1.0,
            sequences_per_s=sequences / self.step_s,
            tokens_per_s=sequences * recipe.data.sequence_length / self.step_s,
            memory_bytes=self.memory_bytes,
            reserve_s=reserve_s,
        )

    def _validation(self, recipe: Recipe, *, step: int, t: float) -> ValidationRecord:
        return ValidationRecord(
            t=t,
            step=step,
            sequences=step * recipe.batch.sequences,
            charged_s=t,
            progress=0.5,
            loss=5.0,
            num_tokens=1000,
            unigram_entropy=6.0,
            seconds=self.validation_s,
        )

    def _save(self, *, step: int, t: float) -> CheckpointRecord:
        return CheckpointRecord(
            t=t,
            step=step,
            charged_s=t,
            name=f"step-{step:09d}",
            size_bytes=24_000_000,
            seconds=self.save_s,
            stall_s=self.stall_s,
            why="interval",
        )
