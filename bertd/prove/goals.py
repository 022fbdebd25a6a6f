"""The project's speed goals against what a proof measured: pass, fail, or why a goal says nothing here. Pure.

A goal names the hardware it is for. Anywhere else it is not applicable, whatever was measured: a CPU's figure is not a
miss of a GPU's goal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bertd.prove.results import Figure, GoalResult, Proof, Verdict

_NOT_APPLICABLE = "not applicable here"


@dataclass(frozen=True)
class Goal:
    """One line of the goals."""

    name: str
    key: str
    """Of the figure that answers it."""
    least: float | None = None
    most: float | None = None
    aim: float | None = None
    """What is hoped for beyond `least`; it decides nothing."""
    unit: str = ""
    applies: Callable[[Proof], str | None] = lambda _: None
    """Why it says nothing here; None where it does."""

    @property
    def text(self) -> str:
        """For people: `at least 2,000 sequences/s (aim 2,300)`."""
        bound = f"at least {self.least:,g}" if self.least is not None else f"at most {self.most:,g}"
        aim = "" if self.aim is None else f" (aim {self.aim:,g})"
        return f"{bound} {self.unit}{aim}".replace("  ", " ").strip()


def _needs_gpu(proof: Proof) -> str | None:
    return None if proof.device == "cuda" else f"{_NOT_APPLICABLE}: the goal is for a GPU"


def _needs_h200(proof: Proof) -> str | None:
    if proof.device == "cuda" and "H200" in proof.device_name:
        return None
    return f"{_NOT_APPLICABLE}: the goal is for an H200"


def _needs_cpu(proof: Proof) -> str | None:
    return None if proof.device == "cpu" else f"{_NOT_APPLICABLE}: the goal is for a CPU"


def _needs_eight(proof: Proof) -> str | None:
    figure = proof.figure("ranks.count")
    if figure is not None and figure.value == 8:
        return _needs_gpu(proof)
    return f"{_NOT_APPLICABLE}: the goal is for eight GPUs"


GOALS = (
    Goal("a whole run, bf16", "whole_run.sequences_per_s", 2_000, aim=2_300, unit="sequences/s", applies=_needs_h200),
    Goal("fp8", "ladder.fp8_sequences_per_s", 2_600, unit="sequences/s", applies=_needs_h200),
    Goal("against compiled BertForMaskedLM, bf16", "comparison.ratio", 1.25, unit="x", applies=_needs_gpu),
    Goal("against compiled BertForMaskedLM, fp8", "ladder.fp8_ratio", 1.4, unit="x", applies=_needs_gpu),
    Goal("against BertForMaskedLM at its best, on a CPU", "comparison.ratio", 3.0, unit="x", applies=_needs_cpu),
    Goal("eight GPUs against one", "ranks.scaling", 7.7, unit="x", applies=_needs_eight),
    Goal("first step, compiler's cache cold", "whole_run.cold_start_s", most=120, unit="s", applies=_needs_gpu),
    Goal("first step, compiler's cache warm", "whole_run.warm_start_s", most=60, unit="s", applies=_needs_gpu),
    Goal("waiting for data", "whole_run.data_wait", most=0.005, unit="of the time"),
    Goal("standing still for checkpoints", "whole_run.stall_share", most=0.002, unit="of the time"),
)
"""Source: the project's design, section 6, what one box can measure of it."""


def judge_goals(proof: Proof) -> list[GoalResult]:
    """Each goal against the figures there are."""
    return [_judge(goal, proof) for goal in GOALS]


def _judge(goal: Goal, proof: Proof) -> GoalResult:
    reason = f"{_NOT_APPLICABLE}: --tiny measures nothing of the goals' size" if proof.is_tiny else goal.applies(proof)
    figure = proof.figure(goal.key)
    if reason is None and figure is None:
        reason = "not measured"
    if reason is not None or figure is None:
        return GoalResult(
            name=goal.name, goal=goal.text, verdict=Verdict.SKIPPED, value=None, unit=goal.unit, detail=reason or ""
        )
    return GoalResult(
        name=goal.name,
        goal=goal.text,
        verdict=Verdict.PASS if _is_met(goal, figure) else Verdict.FAIL,
        value=figure.value,
        unit=goal.unit,
        detail=figure.detail,
    )


def _is_met(goal: Goal, figure: Figure) -> bool:
    if goal.least is not None:
        return figure.value >= goal.least
    assert goal.most is not None
    return figure.value <= goal.most
