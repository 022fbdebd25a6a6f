"""A step that hangs, is killed, raises or is interrupted is a row with its reason, and keeps what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bertd.errors import OutputExistsError
from bertd.prove import __main__ as command
from bertd.prove import prove as parent
from bertd.prove import run_step as running
from bertd.prove.plan import STEPS, Step, limit_s
from bertd.prove.results import Check, Proof, StepFindings, StepResult, Verdict
from bertd.prove.run_step import ProofOptions, StepProcess, judge_step, wait_for_any
from tests.waiting import PATIENCE_S, still_alive, wait_for

STEP = Step("fake", "A fake step", 1.0, 1.0)
FINDS = """
import sys, time, subprocess, pathlib
from bertd.prove.context import StepContext
from bertd.prove.run_step import ProofOptions, findings_path
out = pathlib.Path({out!r})
options = ProofOptions(out=out, device="cpu", is_tiny=True, minutes=0)
context = StepContext(options, path=findings_path(out, {name!r}), seconds=9)
context.check("first", True, "right")
context.measure("speed", "speed", 5.0, "m/s")
"""


@pytest.fixture
def options(tmp_path: Path) -> ProofOptions:
    """Of a proof whose steps run one after the other."""
    return ProofOptions(out=tmp_path / "out", device="cpu", is_tiny=False, minutes=1.0)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a step of Python code."""

    def use(code: str) -> None:
        def command(step: Step, options: ProofOptions, *, limit_s: float, core: int | None) -> list[str]:
            return [sys.executable, "-c", FINDS.format(out=str(options.out), name=step.name) + code]

        monkeypatch.setattr(running, "step_command", command)

    return use


def _run(options: ProofOptions, *, limit_s: float = 60.0) -> StepResult:
    return wait_for_any([StepProcess(STEP, options, limit_s=limit_s)]).finish()


def test_a_step_that_ends_well_passes(options: ProofOptions, script: Callable[[str], None]) -> None:
    script("context.finish()")
    result = _run(options)
    assert (result.verdict, result.reason, result.log_tail) == (Verdict.PASS, "", [])
    assert [check.name for check in result.findings.checks] == ["first"]


def test_a_step_with_a_wrong_check_fails_by_its_name(options: ProofOptions, script: Callable[[str], None]) -> None:
    script("context.check('second', False, 'wrong'); context.finish()")
    result = _run(options)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "wrong: second")


def test_a_step_that_says_nothing_here_is_skipped(options: ProofOptions, script: Callable[[str], None]) -> None:
    script("context.skip_all('one GPU'); context.finish()")
    result = _run(options)
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "one GPU")


def test_a_step_that_raises_leaves_its_findings_and_the_end_of_its_log(
    options: ProofOptions, script: Callable[[str], None]
) -> None:
    script("raise RuntimeError('no kernel')")
    result = _run(options)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "ended with status 1 before it was done")
    assert result.log_tail[-1] == "RuntimeError: no kernel"
    assert [figure.value for figure in result.findings.figures] == [5.0]


def test_a_step_that_is_killed_leaves_its_findings(options: ProofOptions, script: Callable[[str], None]) -> None:
    script("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    result = _run(options)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "killed by SIGSEGV")
    assert [check.name for check in result.findings.checks] == ["first"]


def test_a_step_that_hangs_is_ended_at_its_deadline_with_all_it_started(
    options: ProofOptions, script: Callable[[str], None]
) -> None:
    """The deadline passes when the child, which left the session, is there."""
    child = options.out / "child"
    script(
        "p = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"pathlib.Path({str(child)!r}).write_text(str(p.pid))\n"
        "time.sleep(600)"
    )
    process = StepProcess(STEP, options, limit_s=600)
    wait_for(lambda: child.is_file() and child.read_text() != "", what="the step's child")
    sleeper = psutil.Process(int(child.read_text()))
    process.limit_s = 0
    assert wait_for_any([process]) is process
    result = process.finish()
    assert (result.verdict, result.reason) == (Verdict.FAIL, "not done in 0 s; what it found by then is kept")
    assert [check.name for check in result.findings.checks] == ["first"]
    assert not still_alive([sleeper])


def test_the_step_that_ends_first_is_returned_first(options: ProofOptions, script: Callable[[str], None]) -> None:
    script("time.sleep(600)")
    sleeping = StepProcess(STEP, options, limit_s=600)
    script("context.finish()")
    ending = StepProcess(replace(STEP, name="other"), options, limit_s=600)
    try:
        assert wait_for_any([sleeping, ending]) is ending
    finally:
        ending.finish()
        assert sleeping.interrupt().reason == "the proof was interrupted"


def test_verdicts_name_what_was_wrong_before_the_end() -> None:
    wrong = StepFindings(checks=[Check(name="masks", verdict=Verdict.FAIL, detail="")])
    assert judge_step(wrong, exit_code=-9, deadline_s=None) == (Verdict.FAIL, "killed by SIGKILL; wrong before: masks")
    assert judge_step(StepFindings(), exit_code=0, deadline_s=None)[0] is Verdict.FAIL


def test_what_an_early_step_does_not_use_goes_to_the_later_ones() -> None:
    steps = [Step("a", "A", 1.0, 3.0), Step("b", "B", 1.0, 1.0), Step("c", "C", 2.0, 1.0)]
    assert limit_s(0, steps, left_s=400.0, is_tiny=False) == 100.0
    assert limit_s(0, steps, left_s=400.0, is_tiny=True) == 240.0
    assert limit_s(1, steps, left_s=390.0, is_tiny=False) == 130.0
    assert limit_s(2, steps, left_s=50.0, is_tiny=False) == 50.0


def test_only_a_tiny_proof_of_a_cpu_runs_steps_side_by_side(
    options: ProofOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = replace(options, is_tiny=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7})
    assert parent.choose_places(tiny) == [5, 7]
    assert parent.choose_places(options) == parent.choose_places(replace(tiny, device="cuda")) == [None]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert parent.choose_places(tiny) == [3]


@pytest.fixture
def fake_steps(monkeypatch: pytest.MonkeyPatch, script: Callable[[str], None]) -> None:
    monkeypatch.setattr(parent, "STEPS", (Step("fake", "One", 1.0, 1.0), Step("other", "Two", 1.0, 1.0)))
    script("context.finish()")


@pytest.mark.usefixtures("fake_steps")
def test_both_files_are_written_after_each_step(options: ProofOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, list[str]]] = []
    real_write = parent.write_proof

    def write(proof: Proof, out: Path) -> None:
        real_write(proof, out)
        written = Proof.model_validate_json((out / "proof.json").read_bytes())
        assert f"{len(written.steps)}" and "# Proof of bertd" in (out / "proof.md").read_text()
        seen.append((written.is_complete, [step.title for step in written.steps]))

    monkeypatch.setattr(parent, "write_proof", write)
    assert parent.prove(options) == 0
    assert seen == [(False, []), (False, ["One"]), (False, ["One", "Two"]), (True, ["One", "Two"])]
    assert not (options.out / "work").exists()


@pytest.mark.usefixtures("fake_steps")
def test_steps_side_by_side_are_rows_in_the_order_of_the_plan(
    options: ProofOptions, script: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step waits for the other's findings, and the first also for the second's end."""
    monkeypatch.setattr(parent, "choose_places", lambda _: [None, None])
    script(
        "own = pathlib.Path(context._path)\n"
        "other = own.with_name({'fake': 'other.json', 'other': 'fake.json'}[own.name.removesuffix('.json')])\n"
        "is_there = lambda: other.is_file() and (own.name != 'fake.json' or 'true' in other.read_text())\n"
        "while not is_there(): time.sleep(0.01)\n"
        "context.finish()"
    )
    parent.prove(options)
    proof = Proof.model_validate_json((options.out / "proof.json").read_bytes())
    assert [(step.name, step.verdict) for step in proof.steps] == [("fake", Verdict.PASS), ("other", Verdict.PASS)]


@pytest.mark.usefixtures("fake_steps")
def test_a_step_for_which_no_time_is_left_is_a_row(options: ProofOptions) -> None:
    assert parent.prove(replace(options, minutes=1e-6)) == 0
    proof = Proof.model_validate_json((options.out / "proof.json").read_bytes())
    assert [step.reason for step in proof.steps] == ["no time was left; give more --minutes"] * 2


def test_ctrl_c_keeps_what_was_done_and_ends_what_runs(tmp_path: Path) -> None:
    """The parent as a process: interrupted while two steps sleep, and the third waits."""
    out, pids = tmp_path / "out", [tmp_path / "one", tmp_path / "two"]
    sleeps = "\npathlib.Path({pid!r}).write_text(str(__import__('os').getpid()))\ntime.sleep(600)"
    steps = {path.name: FINDS.format(out=str(out), name=path.name) + sleeps.format(pid=str(path)) for path in pids}
    code = (
        "import sys\n"
        "from bertd.prove import run_step\n"
        f"run_step.step_command = lambda step, *_, **__: [sys.executable, '-c', {steps!r}[step.name]]\n"
        "from bertd.prove import prove, plan, __main__ as command\n"
        "prove.STEPS = [plan.Step(name, name, 1.0, 1.0) for name in ('one', 'two', 'three')]\n"
        "prove.choose_places = lambda _: [None, None]\n"
        f"sys.argv = ['prove', '--out', {str(out)!r}, '--device', 'cpu', '--tiny']\n"
        "sys.exit(command.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        wait_for(lambda: all(path.is_file() and path.read_text() != "" for path in pids), what="the steps")
        children = [psutil.Process(int(path.read_text())) for path in pids]
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and "interrupted; " in stderr and "Traceback" not in stderr
    assert not still_alive(children)
    proof = json.loads((out / "proof.json").read_text())
    assert not proof["is_complete"] and [step["name"] for step in proof["steps"]] == ["one", "two"]
    assert {step["reason"] for step in proof["steps"]} == {"the proof was interrupted"}
    assert all([check["name"] for check in step["findings"]["checks"]] == ["first"] for step in proof["steps"])


def test_every_step_has_its_module() -> None:
    folder = Path(running.__file__).parent / "steps"
    assert {step.name for step in STEPS} == {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}


@pytest.mark.usefixtures("fake_steps")
def test_without_a_gpu_the_other_steps_are_skipped_with_that_reason(
    options: ProofOptions, script: Callable[[str], None]
) -> None:
    script("context.stop_proof('there is no GPU'); context.finish()")
    parent.prove(options)
    proof = Proof.model_validate_json((options.out / "proof.json").read_bytes())
    assert [step.reason for step in proof.steps] == ["", "there is no GPU"]


@pytest.mark.usefixtures("fake_steps")
def test_a_folder_that_holds_something_else_is_left_alone(options: ProofOptions) -> None:
    work = options.out / "work"
    work.mkdir(parents=True)
    (work / "mine").touch()
    with pytest.raises(OutputExistsError, match="holds something else than a proof"):
        parent.prove(options)
    assert (work / "mine").exists()


@pytest.mark.usefixtures("fake_steps")
def test_an_earlier_proof_is_cleared_but_for_the_compilers_cache(options: ProofOptions) -> None:
    parent.prove(options)
    (options.out / "compiler-cache").mkdir(exist_ok=True)
    (options.out / "comparison.jsonl").write_text("old")
    parent.prove(options)
    assert (options.out / "compiler-cache").is_dir() and not (options.out / "comparison.jsonl").exists()


def test_missing_packages_are_named_at_once_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    monkeypatch.setattr(sys, "argv", ["prove", "--out", str(tmp_path / "out")])
    assert command.main() == 69
    assert "this Python lacks transformers, tomli-w; pip install transformers tomli-w" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
