"""The seconds until the first step are reported by what they were for."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
import torch
import torch._dynamo

from bertd.records import StartupRecord
from bertd.run.journal import read_journal
from bertd.train.loop import startup
from bertd.train.loop.startup import StartupTimer
from tests.train.loop.test_trainer import attempt, kind_of, make_run, run_to_end


@pytest.mark.parametrize("kernels", ["eager", "compile"])
def test_each_attempt_reports_its_startup_once_after_its_first_step(
    kernels: str, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    paths = make_run(tmp_path / "run", dataset, f"precision.kernels={kernels}", "budget.steps=3")
    began_s = time.monotonic()

    run_to_end(paths)

    (record,) = kind_of(paths, StartupRecord)
    assert (record.attempt, record.step) == (1, 1)
    parts = (record.choose_s, record.build_s, record.compile_s, record.first_step_s)
    assert min(parts) >= 0 and record.first_step_s > 0 and record.build_s > 0
    assert sum(parts) <= record.total_s <= time.monotonic() - began_s
    assert (record.compile_s > 0) is (kernels == "compile")
    kinds = [each.kind for each in read_journal(paths.journal)]
    assert kinds.index("start") < kinds.index("startup") and kinds.count("step") >= 1


def test_later_steps_are_not_expected_to_take_the_time_of_one_that_compiles(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test's graphs would do.
    torch._dynamo.reset()
    clock = Clock(monkeypatch)
    aot_eager = torch._dynamo.lookup_backend("aot_eager")

    def compile_slowly(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        clock.work(0, compile_s=1000)
        return aot_eager(graph, inputs)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=compile_slowly))
    paths = make_run(tmp_path / "run", dataset, "precision.kernels=compile", "budget.steps=3")
    with attempt(paths) as trainer:
        update = trainer._train_step.update

        def update_in_a_second(*, step: int, lr: float, wants_norm: bool) -> None:
            clock.work(1)
            update(step=step, lr=lr, wants_norm=wants_norm)

        monkeypatch.setattr(trainer._train_step, "update", update_in_a_second)
        trainer.execute_next_plan()
        step_s = trainer._meter.step_s

    (record,) = kind_of(paths, StartupRecord)
    assert record.compile_s >= 1000
    assert step_s == record.first_step_s == 1


class Clock:
    """Seconds of the wall and of the compiler."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s, self.compiled_s = 100.0, 7.0
        patch.setattr("bertd.train.loop.startup.time.monotonic", lambda: self.now_s)
        patch.setattr(startup, "_compiled_s", lambda: self.compiled_s)

    def work(self, seconds: float, *, compile_s: float = 0.0) -> None:
        self.now_s += seconds + compile_s
        self.compiled_s += compile_s


def test_compiling_is_counted_apart_wherever_it_is_and_choosing_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    timer = StartupTimer(began_s=90.0)
    with timer.choosing():
        clock.work(5, compile_s=3)
    with timer.building():
        clock.work(4, compile_s=2)
    with timer.compiling():
        clock.work(1, compile_s=6)
    with timer.stepping():
        # A reset of the compiler sets its counter to 0.
        clock.compiled_s = 0.0
        clock.work(0.5, compile_s=1)

    times = timer.finish()

    assert (times.choose_s, times.build_s, times.compile_s, times.first_step_s) == (8, 4, 9, 0.5)
    assert times.total_s == clock.now_s - 90
