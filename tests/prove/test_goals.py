"""Goals are judged where they apply, and nowhere else."""

from __future__ import annotations

import pytest

from bertd.prove.goals import GOALS, judge_goals
from bertd.prove.results import Figure, GoalResult, Proof, StepFindings, StepResult, Verdict


def proof_with(
    *figures: tuple[str, float], device: str = "cuda", name: str = "NVIDIA H200", tiny: bool = False
) -> Proof:
    """A proof that measured these."""
    findings = StepFindings(figures=[Figure(key=key, name=key, value=value, unit="") for key, value in figures])
    step = StepResult(name="a", title="A", verdict=Verdict.PASS, reason="", seconds=1.0, limit_s=2.0, findings=findings)
    return Proof(
        bertd="0",
        commit="",
        began="",
        device=device,
        device_name=name,
        is_tiny=tiny,
        minutes=10,
        is_complete=True,
        steps=[step],
        goals=[],
    )


def judged(proof: Proof, name: str) -> GoalResult:
    (result,) = [result for result in judge_goals(proof) if result.name == name]
    return result


@pytest.mark.parametrize(
    ("value", "verdict"), [(1_999.9, Verdict.FAIL), (2_000.0, Verdict.PASS), (2_400.0, Verdict.PASS)]
)
def test_a_speed_is_judged_by_its_goal_and_not_by_its_aim(value: float, verdict: Verdict) -> None:
    result = judged(proof_with(("whole_run.sequences_per_s", value)), "a whole run, bf16")
    assert (result.verdict, result.value, result.goal) == (verdict, value, "at least 2,000 sequences/s (aim 2,300)")


@pytest.mark.parametrize(("value", "verdict"), [(60.0, Verdict.PASS), (60.1, Verdict.FAIL)])
def test_a_time_is_judged_by_its_most(value: float, verdict: Verdict) -> None:
    result = judged(proof_with(("whole_run.warm_start_s", value)), "first step, compiler's cache warm")
    assert (result.verdict, result.goal) == (verdict, "at most 60 s")


def test_on_a_cpu_no_goal_of_a_gpu_is_missed() -> None:
    figures = [(goal.key, 0.001) for goal in GOALS]
    results = judge_goals(proof_with(*figures, device="cpu", name="a processor"))
    applied = [result.name for result in results if result.verdict is not Verdict.SKIPPED]
    assert applied == [
        "against BertForMaskedLM at its best, on a CPU",
        "waiting for data",
        "standing still for checkpoints",
    ]
    left_out = [result for result in results if result.verdict is Verdict.SKIPPED]
    assert all(result.detail.startswith("not applicable here") and result.value is None for result in left_out)


def test_a_goal_for_one_card_says_nothing_of_another() -> None:
    result = judged(proof_with(("whole_run.sequences_per_s", 5e3), name="NVIDIA A100"), "a whole run, bf16")
    assert (result.verdict, result.detail) == (Verdict.SKIPPED, "not applicable here: the goal is for an H200")


def test_a_tiny_proof_meets_and_misses_no_goal() -> None:
    figures = [(goal.key, 1.0) for goal in GOALS]
    results = judge_goals(proof_with(*figures, tiny=True))
    assert all(result.verdict is Verdict.SKIPPED and "--tiny" in result.detail for result in results)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    result = judged(proof_with(), "a whole run, bf16")
    assert (result.verdict, result.value, result.detail) == (Verdict.SKIPPED, None, "not measured")


@pytest.mark.parametrize(("count", "verdict"), [(4, Verdict.SKIPPED), (8, Verdict.PASS)])
def test_the_goal_of_eight_cards_needs_eight(count: int, verdict: Verdict) -> None:
    proof = proof_with(("ranks.count", count), ("ranks.scaling", 7.8))
    assert judged(proof, "eight GPUs against one").verdict is verdict
