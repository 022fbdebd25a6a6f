"""The parent: runs the steps, and writes proof.md and proof.json again after each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import bertd
from bertd.errors import OutputExistsError, StorageError
from bertd.prove.goals import judge_goals
from bertd.prove.plan import STEPS, Step, limit_s
from bertd.prove.render import render_proof
from bertd.prove.results import Proof, StepFindings, StepResult, Verdict
from bertd.prove.run_step import COMPILER_CACHE, ProofOptions, StepProcess, wait_for_any
from bertd.run.atomic_files import SHARED_MODE, atomic_write

WORK = "work"
"""In the output's folder: data set and runs."""
_OWN_NAMES = {WORK, "steps", "logs", "proof.json", "proof.md", "trace.json.gz", "comparison.jsonl", "ladder.jsonl"}
"""What a proof writes there."""
_MIN_STEP_S = 1.0
"""With less a step is not started: it could not even import torch."""
_TINY_PLACES = 2


def prove(options: ProofOptions) -> int:
    """Run all steps; returns the exit status.

    Raises:
        KeyboardInterrupt: the proof was interrupted; its files have what was done until then.
        OutputExistsError: the output's folder holds something else.
        StorageError: it cannot be used.
    """
    prepare_folder(options.out)
    proof = Proof(
        bertd=bertd.__version__,
        commit=read_commit(Path(bertd.__file__).parent.parent),
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        device=options.device,
        device_name="",
        is_tiny=options.is_tiny,
        minutes=options.minutes,
        is_complete=False,
        steps=[],
        goals=[],
    )
    write_proof(proof, options.out)

    def keep(result: StepResult) -> None:
        nonlocal proof
        proof = _with_step(proof, result)
        write_proof(proof, options.out)
        words = f"{result.title}: {result.verdict} in {result.seconds:.0f} s  {result.reason}"
        print(f"    {words}".rstrip(), file=sys.stderr, flush=True)

    _run_steps(options, keep)
    proof = proof.model_copy(update={"is_complete": True})
    write_proof(proof, options.out)
    shutil.rmtree(options.out / WORK, ignore_errors=True)
    print(f"{options.out / 'proof.md'}: {'no step failed' if proof.is_passed else 'something failed'}")
    return 0 if proof.is_passed else 1


def _run_steps(options: ProofOptions, keep: Callable[[StepResult], None]) -> None:
    """Run each step when a place is free; `keep` gets each result at once.

    Raises:
        KeyboardInterrupt: the proof was interrupted; what ran is ended and its results are kept.
    """
    deadline_s = time.monotonic() + 60 * options.minutes
    places, waiting, running = choose_places(options), deque(enumerate(STEPS)), dict[StepProcess, int | None]()
    stop_reason: str | None = None
    try:
        while waiting or running:
            while waiting and places:
                index, step = waiting.popleft()
                left_s = max(0.0, deadline_s - time.monotonic())
                step_limit_s = limit_s(index, STEPS, left_s=left_s, is_tiny=options.is_tiny)
                print(f"{step.title} (up to {step_limit_s:.0f} s)", file=sys.stderr, flush=True)
                if stop_reason is not None:
                    keep(_unstarted_result(step, stop_reason))
                elif step_limit_s < _MIN_STEP_S:
                    keep(_unstarted_result(step, "no time was left; give more --minutes"))
                else:
                    core = places.pop(0)
                    running[StepProcess(step, options, limit_s=step_limit_s, core=core)] = core
            if running:
                ended = wait_for_any(list(running))
                result = ended.finish()
                places.append(running.pop(ended))
                stop_reason = stop_reason or result.findings.stops_proof
                keep(result)
    except KeyboardInterrupt:
        for interrupted in running:
            keep(interrupted.interrupt())
        raise


def choose_places(options: ProofOptions) -> list[int | None]:
    """Where steps run at the same time: the core of each place, or None for all cores.

    A device is measured by one step alone. A tiny proof of a CPU measures nothing, and operations this small are slower
    on several cores, many times so beside other work: two of its steps run side by side, each on one core.
    """
    if not options.is_tiny or options.device != "cpu":
        return [None]
    return list(sorted(os.sched_getaffinity(0))[-_TINY_PLACES:])


def prepare_folder(out: Path) -> None:
    """Make the output's folder, or clear an earlier proof out of it but for the compiler's cache.

    Raises:
        OutputExistsError: it holds something else.
        StorageError: the disk refused.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        entries = {entry.name for entry in out.iterdir()}
        if "proof.json" not in entries and entries - {COMPILER_CACHE}:
            raise OutputExistsError(f"{out}: holds something else than a proof; give a new folder as --out")
        for name in sorted(entries & _OWN_NAMES):
            path = out / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise StorageError(f"{out}: cannot use it: {error.strerror}; give another --out") from error


def _unstarted_result(step: Step, reason: str) -> StepResult:
    return StepResult(
        name=step.name,
        title=step.title,
        verdict=Verdict.SKIPPED,
        reason=reason,
        seconds=0.0,
        limit_s=0.0,
        findings=StepFindings(),
    )


def _with_step(proof: Proof, result: StepResult) -> Proof:
    """With one step more, in the order of the plan, judged again."""
    order = [step.name for step in STEPS]
    steps = sorted([*proof.steps, result], key=lambda each: order.index(each.name))
    name = next((step.findings.facts["device"] for step in steps if "device" in step.findings.facts), "")
    proof = proof.model_copy(update={"steps": steps, "device_name": name})
    return proof.model_copy(update={"goals": judge_goals(proof)})


def write_proof(proof: Proof, out: Path) -> None:
    """Both files, each whole or as it was.

    Raises:
        StorageError: the disk refused.
    """
    atomic_write(out / "proof.json", proof.model_dump_json(indent=1) + "\n", mode=SHARED_MODE)
    atomic_write(out / "proof.md", render_proof(proof), mode=SHARED_MODE)


def read_commit(root: Path) -> str:
    """The checkout's commit, with `+changes` where tracked files differ; empty where this is no checkout."""

    def ask(*arguments: str) -> str:
        answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
        return answer.stdout.strip() if answer.returncode == 0 else ""

    if not (root / ".git").exists():
        return ""
    try:
        commit = ask("rev-parse", "--short=12", "HEAD")
        return f"{commit}+changes" if commit and ask("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.TimeoutExpired):
        return ""
