"""A step as a process of its own: started, watched, ended at its deadline with all it started, and judged.

Whatever ends it, the file that it writes as it goes is read, so that its findings until then are kept.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
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


class StepProcess:
    """One step from its start to its result."""

    def __init__(self, step: Step, options: ProofOptions, *, limit_s: float, core: int | None = None) -> None:
        """Start it.

        Args:
            core: the one that it may use; None for all.
        """
        self.step, self.limit_s = step, limit_s
        self._findings = findings_path(options.out, step.name)
        self._log = options.out / "logs" / f"{step.name}.log"
        for path in (self._findings, self._log):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._findings.unlink(missing_ok=True)
        self._began_s = time.monotonic()
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(
                step_command(step, options, limit_s=limit_s, core=core),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=step_environment(options),
                start_new_session=True,
            )
        self._pidfd = os.pidfd_open(self._process.pid)

    def finish(self) -> StepResult:
        """End what is left of it, also the step itself where its time is over, and judge it."""
        is_late = self._process.poll() is None
        seconds = self._end()
        findings = read_findings(self._findings)
        verdict, reason = judge_step(
            findings, exit_code=self._process.returncode, deadline_s=self.limit_s if is_late else None
        )
        log_tail = read_tail(self._log) if verdict is Verdict.FAIL else []
        return self._result(verdict, reason, findings=findings, seconds=seconds, log_tail=log_tail)

    def interrupt(self) -> StepResult:
        """End it, since the proof was interrupted; what it had found by then is kept."""
        seconds = self._end()
        findings = read_findings(self._findings)
        return self._result(Verdict.FAIL, "the proof was interrupted", findings=findings, seconds=seconds)

    def _end(self) -> float:
        """End it with all it started; how long it was there."""
        end_process_tree(self._process)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        return time.monotonic() - self._began_s

    def _result(
        self, verdict: Verdict, reason: str, *, findings: StepFindings, seconds: float, log_tail: Sequence[str] = ()
    ) -> StepResult:
        return StepResult(
            name=self.step.name,
            title=self.step.title,
            verdict=verdict,
            reason=reason,
            seconds=seconds,
            limit_s=self.limit_s,
            findings=findings,
            log_tail=list(log_tail),
        )


def wait_for_any(running: Sequence[StepProcess]) -> StepProcess:
    """The first that has ended, or whose time is over."""
    while True:
        left_s = {each._pidfd: each._began_s + each.limit_s - time.monotonic() for each in running}
        ended, _, _ = select.select(list(left_s), [], [], max(0.0, min(left_s.values())))
        for each in running:
            if each._pidfd in ended or left_s[each._pidfd] <= 0:
                return each


def step_command(step: Step, options: ProofOptions, *, limit_s: float, core: int | None) -> list[str]:
    """What is started."""
    command = [sys.executable, "-m", "bertd.prove.steps", step.name, "--out", str(options.out)]
    command += ["--device", options.device, "--seconds", f"{limit_s:.1f}", "--parent", str(os.getpid())]
    command += [] if core is None else ["--core", str(core)]
    return [*command, *(["--tiny"] if options.is_tiny else [])]


def step_environment(options: ProofOptions) -> dict[str, str]:
    """With this very bertd on the path, installed or not, and the compiler's cache in the output's folder."""
    root = str(Path(bertd.__file__).parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR", str(options.out / COMPILER_CACHE))
    # A finetuning takes a GPU where it sees one.
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}
    # Which vector instructions the C++ compiler knows is found by trial, which takes longer than all of a tiny proof's
    # graphs, and those without them compile twice as fast.
    plain = {"TORCHINDUCTOR_VEC_ISA_OK": "0"} if options.is_tiny else {}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_CACHE_DIR": cache, **hidden, **plain}


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
