"""A whole proof on a CPU at its smallest: every row passes, or is skipped with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertd.prove.context import StepContext
from bertd.prove.plan import STEPS
from bertd.prove.results import Proof, Verdict
from bertd.prove.run_step import ProofOptions, findings_path
from bertd.prove.steps.ranks import prove_ranks
from tests.test_import_rules import ABSENT_FROM_PROOFS, hide_modules


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_row_of_a_proof_passes_or_says_why_not(tmp_path: Path) -> None:
    """By processes in which the packages that it must not need are not there."""
    out, hidden = tmp_path / "out", tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(hide_modules(ABSENT_FROM_PROOFS))
    # Once a test of this process has compiled, torch has set the variable, and the proof would use that cache.
    environment = {name: text for name, text in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    ended = subprocess.run(
        # Minutes are its limit, not its length: another machine may be many times slower.
        [sys.executable, "-m", "bertd.prove", "--out", str(out), "--device", "cpu", "--tiny", "--minutes", "30"],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(hidden), *sys.path])},
        capture_output=True,
        text=True,
    )
    proof = Proof.model_validate_json((out / "proof.json").read_bytes())
    wrong = [
        f"{step.name}: {step.reason}: {step.log_tail} "
        f"{[check for check in step.findings.checks if check.verdict is Verdict.FAIL]}"
        for step in proof.steps
        if step.verdict is Verdict.FAIL
    ]
    assert not wrong and ended.returncode == 0, ended.stderr
    assert [step.name for step in proof.steps] == [step.name for step in STEPS] and proof.is_complete
    assert [step.name for step in proof.steps if step.verdict is Verdict.SKIPPED] == ["ranks"]
    for step in proof.steps:
        assert step.findings.is_finished and (step.findings.checks or step.findings.skipped_reason)
        for check in step.findings.checks:
            assert check.verdict in (Verdict.PASS, Verdict.SKIPPED) and check.detail, check
    assert all(goal.verdict is Verdict.SKIPPED and goal.detail and goal.value is None for goal in proof.goals)
    assert "loss and gradients: fp32, compiled, full" in [
        check.name for step in proof.steps for check in step.findings.checks
    ]
    assert {path.name for path in out.iterdir()} == {
        "proof.md",
        "proof.json",
        "steps",
        "logs",
        "trace.json.gz",
        "comparison.jsonl",
        "ladder.jsonl",
        "compiler-cache",
    }


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_ranks_on_a_cpu_are_proven_as_several_gpus_are(tmp_path: Path) -> None:
    options = ProofOptions(out=tmp_path, device="cpu", is_tiny=True, minutes=10)
    path = findings_path(tmp_path, "ranks")
    path.parent.mkdir()
    context = StepContext(options, path=path, seconds=1500)
    prove_ranks(context, count=2)
    assert not [check for check in context.findings.checks if check.verdict is not Verdict.PASS]
    assert [check.name for check in context.findings.checks] == [
        "a run on 2",
        "a run on 1",
        "losses of 2 ranks are one rank's",
        "ranks are there",
        "a killed rank restarts the run",
        "no rank of before is left",
        "the second attempt trains",
    ]
    assert {"ranks.count", "ranks.bus.1", "ranks.bus.4"} <= {figure.key for figure in context.findings.figures}
