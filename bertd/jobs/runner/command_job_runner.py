"""Run a job that is one program, a person's own or one of bertd, under a guard, ended by a stop or its time limit.

To end it, SIGTERM goes to its process group, and SIGKILL after STOP_GRACE_S. Then, and when the program ends by itself,
every process that it left is killed. Standard output and error are the job's log.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from pydantic import ValidationError

from bertd.errors import RunFolderError, SubmissionError
from bertd.jobs.runner.child_process import StopSignal, run_child_process
from bertd.jobs.runner.command_guard import RUNNER_DIED, guard_command, write_launch
from bertd.jobs.runner.descendants import kill_group
from bertd.jobs.runner.exit_analysis import exit_text
from bertd.jobs.runner.gpu_memory_watch import own_descendants, watch_of_job
from bertd.jobs.runner.log_truncation import truncate_log
from bertd.records import (
    Command,
    CommandJobSpec,
    CommandKind,
    CommandRecord,
    EndRecord,
    JobState,
    JournalRecord,
    Outcome,
    StateRecord,
)
from bertd.run.amounts.durations import format_duration
from bertd.run.bounded_read import read_bounded
from bertd.run.job_report import REPORT_VARIABLE, read_result_text
from bertd.run.journal import append_records, read_journal
from bertd.run.log import log_line
from bertd.run.machine.command_environment import job_environment
from bertd.run.machine.gpu_share import GPU_MEMORY_VARIABLE
from bertd.run.machine.processes import oom_kills
from bertd.run.mailbox import read_command
from bertd.run.paths import JobPaths
from bertd.run.progress import fold_records

STOP_GRACE_S = 30.0
"""From SIGTERM to SIGKILL."""
_TICK_S = 0.5
_WHERE = "last log lines in logs/job.log"


def read_command_job_spec(path: Path) -> CommandJobSpec:
    """Read a command.json.

    Raises:
        RunFolderError: it is missing or wrong.
    """
    try:
        return CommandJobSpec.model_validate_json(read_bounded(path))
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read: {error.strerror}; submit the command again") from error
    except ValidationError as error:
        # Not the value: it may be one of the environment.
        raise RunFolderError(f"{path}: is damaged: {error.errors()[0]['loc']}; submit the command again") from error


@dataclass(frozen=True)
class _Ending:
    """Why the program is being ended, and when SIGKILL follows."""

    state: JobState
    why: str
    kill_at_s: float
    """Monotonic."""


class CommandJobRunner:
    """Runs one attempt of the program."""

    def __init__(self, paths: JobPaths, *, stop_signal: StopSignal, grace_s: float = STOP_GRACE_S) -> None:
        self._paths = paths
        self._stop_signal = stop_signal
        self._grace_s = grace_s
        self._spec = read_command_job_spec(paths.command_spec)
        self._next_command = fold_records(read_journal(paths.journal)).acknowledged + 1
        self._stop_command: Command | None = None
        self._ending: _Ending | None = None
        self._started_s = time.monotonic()
        self._gpu_memory = watch_of_job(os.environ, list_pids=own_descendants)

    def run(self) -> Outcome:
        """Run the program to its end and return the outcome.

        Raises:
            SubmissionError: its folder or the program is not there.
        """
        spec = self._spec
        environment = self._environment()
        self._require_program(environment)
        if (complete := self._complete_before()) is not None:
            self._write_closing_records(complete)
            return complete
        started = StateRecord(
            t=time.time(), step=0, charged_s=0.0, state=JobState.RUNNING, reason=f"runs {Path(spec.argv[0]).name}"
        )
        append_records(self._paths.journal, [started])
        earlier_oom_kills, self._started_s = oom_kills(), time.monotonic()
        launch_fd = write_launch(program_of(spec), cwd=spec.cwd, environment=environment)
        try:
            exit_code = run_child_process(
                guard_command(),
                stop_signal=self._stop_signal,
                tick_s=_TICK_S,
                on_tick=self._tick,
                stdin=launch_fd,
                death_signal=RUNNER_DIED,
                signals_group=True,
            )
        finally:
            os.close(launch_fd)
        outcome = self._outcome(exit_code, oom_kills=oom_kills() - earlier_oom_kills)
        self._write_closing_records(outcome)
        return outcome

    def _environment(self) -> dict[str, str]:
        spec = self._spec
        variables = {"BERTD_JOB": str(self._paths.root), "BERTD_JOB_ID": str(spec.job_id)}
        if spec.run_id is not None and spec.run_folder is not None:
            variables |= {"BERTD_RUN": spec.run_id, "BERTD_RUN_FOLDER": spec.run_folder}
        if spec.time_limit_s is not None:
            variables["BERTD_REMAINING_S"] = f"{spec.time_limit_s:.0f}"
        if spec.module is not None:
            threads = {} if spec.num_cpus is None else {"OMP_NUM_THREADS": str(spec.num_cpus)}
            return os.environ | threads | variables | {REPORT_VARIABLE: str(self._paths.root)}
        if (limit_bytes := os.environ.get(GPU_MEMORY_VARIABLE)) is not None:
            variables[GPU_MEMORY_VARIABLE] = limit_bytes
        return job_environment(spec.environment, os.environ, num_cpus=spec.num_cpus, variables=variables)

    def _require_program(self, environment: dict[str, str]) -> None:
        cwd, program = Path(self._spec.cwd), program_of(self._spec)[0]
        require_program(program, cwd=cwd, search_path=environment.get("PATH"))

    def _complete_before(self) -> Outcome | None:
        """The outcome, if an earlier attempt of this job made its folder, which appears whole, and then was killed."""
        earlier = [each.t for each in read_journal(self._paths.journal) if isinstance(each, StateRecord)]
        if self._spec.output is None or not earlier:
            return None
        output = Path(self._spec.output)
        try:
            # A rename changes it; so a folder that was there before the job began is not taken for its work.
            is_made = output.stat().st_ctime >= min(earlier)
        except OSError:
            return None
        if not is_made:
            return None
        return Outcome(state=JobState.DONE, reason=f"{output} was complete when its runner died", exit_code=0)

    def _tick(self, child: Popen[bytes]) -> None:
        truncate_log()
        self._read_mailbox()
        now_s = time.monotonic()
        if self._ending is not None:
            if now_s >= self._ending.kill_at_s:
                log_line(f"runner: SIGKILL, since the program runs {format_duration(self._grace_s)} after SIGTERM")
                kill_group(child.pid)
        elif self._stop_signal.is_set:
            # run_child_process has forwarded it.
            self._ending = _Ending(JobState.FAILED, "its runner got SIGTERM, not by bertd", now_s + self._grace_s)
        elif self._stop_command is not None:
            self._end(child, JobState.CANCELLED, "stopped by a person", now_s=now_s)
        elif (limit_s := self._spec.time_limit_s) is not None and now_s - self._started_s >= limit_s:
            self._end(child, JobState.FAILED, f"its time limit of {format_duration(limit_s)} is over", now_s=now_s)
        elif self._gpu_memory is not None and (why := self._gpu_memory.reason_to_end()):
            self._end(child, JobState.FAILED, why, now_s=now_s)

    def _read_mailbox(self) -> None:
        command = read_command(self._paths.control, number=self._next_command)
        if command is not None and command.verb is CommandKind.UNREADABLE:
            log_line(f"runner: {command.problem}")
            self._next_command += 1
        elif command is not None and command.verb is CommandKind.STOP:
            self._stop_command = self._stop_command or command

    def _end(self, child: Popen[bytes], state: JobState, why: str, *, now_s: float) -> None:
        log_line(f"runner: {why}: SIGTERM, and SIGKILL after {format_duration(self._grace_s)}")
        self._ending = _Ending(state, why, now_s + self._grace_s)
        # The child is not reaped before the end of run_child_process, so no other group can have its number.
        os.killpg(child.pid, signal.SIGTERM)

    def _outcome(self, exit_code: int, *, oom_kills: int) -> Outcome:
        how = exit_text(exit_code, oom_kills=oom_kills)
        if self._ending is not None:
            return Outcome(state=self._ending.state, reason=f"{self._ending.why}; {how}", exit_code=exit_code)
        if exit_code == 0:
            seconds = format_duration(time.monotonic() - self._started_s)
            result = read_result_text(self._paths) if self._spec.module is not None else ""
            reason = result or f"exit status 0 after {seconds}"
            return Outcome(state=JobState.DONE, reason=reason, exit_code=0)
        return Outcome(state=JobState.FAILED, reason=f"{how}; {_WHERE}", exit_code=exit_code)

    def _write_closing_records(self, outcome: Outcome) -> None:
        now = time.time()
        records: list[JournalRecord] = []
        if self._stop_command is not None:
            detail = "its processes were ended"
            records.append(CommandRecord.answer(self._stop_command, t=now, step=0, outcome="done", detail=detail))
        reasons = {JobState.DONE: "finished", JobState.CANCELLED: "stopped", JobState.FAILED: "failed"}
        end = {"t": now, "step": 0, "sequences": 0, "charged_s": 0.0, "detail": outcome.reason}
        records.append(EndRecord.model_validate(end | {"reason": reasons[outcome.state]}))
        append_records(self._paths.journal, records)


def program_of(spec: CommandJobSpec) -> list[str]:
    """What is started: the person's own argv, or the module of bertd with what it was given."""
    if spec.module is None:
        return spec.argv
    folder = [] if spec.run_folder is None else [spec.run_folder]
    return [sys.executable, "-P", "-m", "bertd.program", spec.module, *folder, *spec.arguments]


def require_program(program: str, *, cwd: Path, search_path: str | None) -> None:
    """Refuse a command whose folder cannot be entered, or whose program is not there.

    Args:
        program: a name to look for in `search_path`, or a path, which may be relative to `cwd`.

    Raises:
        SubmissionError: so it is.
    """
    if not cwd.is_dir() or not os.access(cwd, os.X_OK):
        raise SubmissionError(f"{cwd}: the command's folder is not there, or the daemon's user may not enter it")
    found = shutil.which(str(cwd / program) if "/" in program else program, path=search_path)
    if found is None:
        where = "no such program there" if "/" in program else "no such program in the PATH it was submitted with"
        raise SubmissionError(f"{program}: {where} that the daemon's user may run; give its path")
