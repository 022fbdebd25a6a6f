"""The demo's output: panel, loss curve, comparison and log lines."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from bertd.api.models import BudgetView, RunView
from bertd.demo import run_panel
from bertd.demo.console import ComparisonRow, DemoDisplay
from bertd.demo.run_panel import LossCurve, PlainProgress, sparkline
from bertd.records import BudgetUnit, JobState, StartRecord, StepRecord, ValidationRecord


def _step(step: int, loss: float) -> StepRecord:
    return StepRecord(
        t=0,
        step=step,
        sequences=32 * step,
        charged_s=step,
        progress=step / 100,
        loss=loss,
        lr=1e-3,
        grad_norm=1.0,
        sequences_per_s=64.0,
        tokens_per_s=8192.0,
    )


def _run(*, step: StepRecord | None) -> RunView:
    return RunView(
        id="1-demo",
        job_id=1,
        name="demo",
        state=JobState.RUNNING,
        reason="",
        folder="/nowhere",
        budget=BudgetView(
            unit=BudgetUnit.HOURS,
            amount=120 / 3600,
            spent=30 / 3600,
            progress=0.25,
            charged_s=30,
            remaining_s=90,
            projected_step=400,
        ),
        model="4 layers x 256\x1b[2J",
        start=StartRecord(
            t=0,
            attempt=1,
            step=0,
            sequences=0,
            charged_s=0,
            world_size=2,
            device="cpu",
            device_name="cpu",
            precision="fp32",
            kernels="eager",
            kernels_reason="",
            num_parameters=1,
            micro_batch=16,
            accumulation=1,
            sequence_length=128,
            train_sequences=1,
            validation_sequences=1,
        ),
        step=step,
        validation=ValidationRecord(
            t=0,
            step=1,
            sequences=1,
            charged_s=1,
            progress=0,
            loss=6.5,
            num_tokens=9,
            unigram_loss=6.9,
            unigram_entropy=6.9,
            seconds=1,
        ),
    )


def test_the_panel_shows_budget_loss_and_speed() -> None:
    curve = LossCurve()
    for number in range(1, 200):
        curve.add(_step(number, 9.0 - number / 50))
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=False)
    console.print(run_panel.render_panel(_run(step=_step(200, 5.0)), curve, is_ascii=False))
    text = out.getvalue()
    for part in (
        "1m 30s left, 25% spent",
        "5.000 nats at step 200",
        "64 sequences/s",
        "6.500 nats",
        "word frequency: 6.900",
    ):
        assert part in text
    assert "\x1b" not in text
    assert re.search("█▇.*▂▁", text)


def test_a_curve_keeps_its_ends_and_takes_no_step_twice() -> None:
    curve = LossCurve()
    curve.add(None)
    curve.add(_step(1, 9.0))
    curve.add(_step(1, 9.0))
    curve.add(_step(2, float("nan")))
    curve.add(_step(3, 1.0))
    assert curve.draw() == "█▁"
    assert curve.draw(is_ascii=True) == "@_"
    assert sparkline([2.0, 2.0], blocks="ab") == "aa"


def test_a_comparison_draws_bars_from_zero(capsys: pytest.CaptureFixture[str]) -> None:
    DemoDisplay(num_stages=1).compare(
        "loss", [ComparisonRow("ours\x1b]0;", 4.5, True), ComparisonRow("blind", 9.0, False)]
    )
    ours, blind = [line for line in capsys.readouterr().out.splitlines() if "█" in line or "#" in line]
    assert "ours\\x1b]0;" in ours and "4.500" in ours
    assert 2 * len(re.findall("[█#]", ours)) == len(re.findall("[█#]", blind)) > 20


def test_a_log_gets_a_line_now_and_then_not_one_a_poll() -> None:
    lines: list[str] = []
    plain = PlainProgress(lines.append)
    plain.run(_run(step=None))
    for _ in range(5):
        plain.run(_run(step=_step(7, 6.25)))
    assert lines == [" 25%  1m 30s left  step 7  loss 6.250  64 sequences/s  validation 6.500"]
