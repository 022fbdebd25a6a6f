"""One step as a process of its own: started, watched, ended at its deadline with all it started, and judged.

Whatever ends it, the file that it writes as it goes is read, so that its findings until then are kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

import bertd
from bertd.prove.plan import Step
from bertd.prove.results import StepFindings, StepResult, Verdict, read_findings

_LOG_TAIL_LINES = 20
_GRACE_S = 3.0
"""From SIGTERM to SIGKILL: a run's ranks may close their files, and nothing is waited for that hangs."""
COMPILER_CACHE = "compiler-cache"
"""In the output's folder, for the next time."""


@dataclass(frozen=True)
class ProofOptions:
    """What the command line asked for."""

    out: Path
    device: str
    """cuda or cpu."""
    is_tiny: bool
    minutes: float


def findings_path(out: Path, name: str) -> Path:
    """Where a step writes what it finds."""
    return out / "steps" / f"{name}.json"


def run_step(step: Step, options: ProofOptions, *, limit_s: float) -> StepResult:
    """Run it to its end or to its deadline.

    Raises:
        KeyboardInterrupt: while it ran; the step and all it started are ended.
    """
    path, log = findings_path(options.out, step.name), options.out / "logs" / f"{step.name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    began_s = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            step_command(step, options, limit_s=limit_s),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=step_environment(options),
            start_new_session=True,
        )
        try:
            is_late = not _wait(process, until_s=began_s + limit_s)
        finally:
            end_process_tree(process)
    seconds = time.monotonic() - began_s
    findings = read_findings(path)
    verdict, reason = judge_step(findings, exit_code=process.returncode, deadline_s=limit_s if is_late else None)
    return StepResult(
        name=step.name,
        title=step.title,
        verdict=verdict,
        reason=reason,
        seconds=seconds,
        limit_s=limit_s,
        findings=findings,
        log_tail=read_tail(log) if verdict is Verdict.FAIL else [],
    )


def interrupted_result(step: Step, options: ProofOptions, *, seconds: float, limit_s: float) -> StepResult:
    """Of a step during which the proof was interrupted: what it had found by then."""
    return StepResult(
        name=step.name,
        title=step.title,
        verdict=Verdict.FAIL,
        reason="the proof was interrupted",
        seconds=seconds,
        limit_s=limit_s,
        findings=read_findings(findings_path(options.out, step.name)),
    )


def step_command(step: Step, options: ProofOptions, *, limit_s: float) -> list[str]:
    """What is started."""
    command = [sys.executable, "-m", "bertd.prove.steps", step.name, "--out", str(options.out)]
    command += ["--device", options.device, "--seconds", f"{limit_s:.1f}", "--parent", str(os.getpid())]
    return [*command, *(["--tiny"] if options.is_tiny else [])]


def step_environment(options: ProofOptions) -> dict[str, str]:
    """With this very bertd on the path, installed or not, and the compiler's cache in the output's folder."""
    root = str(Path(bertd.__file__).parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR", str(options.out / COMPILER_CACHE))
    # A finetuning takes a GPU where it sees one.
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_CACHE_DIR": cache, **hidden}


def judge_step(findings: StepFindings, *, exit_code: int, deadline_s: float | None) -> tuple[Verdict, str]:
    """The verdict on a step that is over, and the reason where it did not pass. Pure.

    Args:
        findings: what it wrote.
        exit_code: negative for a signal.
        deadline_s: the limit at which it was ended; None where it ended by itself.
    """
    failed = [check.name for check in findings.checks if check.verdict is Verdict.FAIL]
    wrong = f"; wrong before: {', '.join(failed)}" if failed else ""
    if deadline_s is not None:
        return Verdict.FAIL, f"not done in {deadline_s:.0f} s; what it found by then is kept{wrong}"
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        return Verdict.FAIL, f"killed by {name}{wrong}"
    if exit_code != 0 or not findings.is_finished:
        return Verdict.FAIL, f"ended with status {exit_code} before it was done{wrong}"
    if failed:
        return Verdict.FAIL, f"wrong: {', '.join(failed)}"
    if findings.skipped_reason is not None:
        return Verdict.SKIPPED, findings.skipped_reason
    return Verdict.PASS, ""


def read_tail(log: Path) -> list[str]:
    """The last lines of a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.rstrip()[:300] for line in lines if line.strip()][-_LOG_TAIL_LINES:]


def _wait(process: subprocess.Popen[bytes], *, until_s: float) -> bool:
    """Whether it ended by itself in time."""
    while process.poll() is None:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return False
        try:
            process.wait(min(left_s, 1.0))
        except subprocess.TimeoutExpired:
            continue
    return True


def end_process_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process with all it started, also what left its session, and wait until it is gone."""
    try:
        descendants = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            # All of the session are gone; others may be left.
            pass
        for descendant in descendants:
            try:
                descendant.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        _, descendants = psutil.wait_procs(descendants, timeout=_GRACE_S)
    process.wait()
