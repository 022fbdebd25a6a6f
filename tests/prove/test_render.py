"""proof.md says what proof.json has, and nothing else."""

from __future__ import annotations

import re

from bertd.prove.goals import judge_goals
from bertd.prove.render import format_value, render_proof
from bertd.prove.results import Check, StepFindings, StepResult, Verdict
from tests.prove.test_goals import proof_with

FAILED = StepResult(
    name="b",
    title="B",
    verdict=Verdict.FAIL,
    reason="killed by SIGSEGV",
    seconds=3.0,
    limit_s=20.0,
    findings=StepFindings(
        checks=[
            Check(name="masks", verdict=Verdict.PASS, detail="the same"),
            Check(name="a | b", verdict=Verdict.SKIPPED, detail="two\nlines"),
        ],
        facts={"torch": "2.13"},
    ),
    log_tail=["Segmentation fault"],
)


def test_each_step_check_figure_and_goal_has_its_row() -> None:
    proof = proof_with(("whole_run.sequences_per_s", 2123.4))
    proof = proof.model_copy(update={"steps": [*proof.steps, FAILED], "goals": judge_goals(proof)})
    text = render_proof(proof)
    assert "| B | **FAIL** | 3 | killed by SIGSEGV |" in text
    assert "| masks | pass | the same |" in text and "| a \\| b | skipped | two lines |" in text
    assert "| a whole run, bf16 | at least 2,000 sequences/s (aim 2,300) | 2,123 sequences/s: pass |" in text
    assert "    Segmentation fault" in text and "| torch | 2.13 |" in text
    assert "1 of 2 steps failed." in text


def test_one_that_was_interrupted_says_so_first() -> None:
    text = render_proof(proof_with().model_copy(update={"is_complete": False}))
    assert "**Not complete**" in text.splitlines()[2]


def test_no_number_stands_there_that_was_not_measured() -> None:
    proof = proof_with(device="cpu", name="a processor")
    text = render_proof(proof.model_copy(update={"goals": judge_goals(proof)}))
    rows = [line.split("|")[3] for line in text.splitlines() if "| at least" in line or "| at most" in line]
    assert rows and not any(re.search(r"\d", cell) for cell in rows)


def test_values_have_four_digits() -> None:
    assert [format_value(value) for value in (2123.4, 12.3456, 0.00012345, 0.0)] == ["2,123", "12.35", "0.0001234", "0"]
