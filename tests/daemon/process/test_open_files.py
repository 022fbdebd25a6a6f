"""A daemon that may open too few files says so at its start, and raises its limit where it may."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.daemon.daemon_box import DaemonBox
from tests.jobs.runner_box import with_tests_on_path


@pytest.mark.parametrize("limit", [12, 24, 40])
def test_too_few_open_files_are_refused_with_the_number(limit: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bertd", "start", "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(
        ["bash", "-c", f'ulimit -n {limit}; exec "$@"', "bash", *command, "--socket", str(tmp_path / "s.sock")],
        capture_output=True,
        text=True,
        env=with_tests_on_path(),
        check=False,
    )
    assert done.returncode == 78, done.stderr
    assert f"at most {limit} files may be open, and the daemon needs 64; raise the limit (ulimit -n)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_limit_that_may_be_raised_is_raised(cold: DaemonBox) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # This process has files of its own open, the more the more tests it ran.
    low = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 64
    assert low < 1_024
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, before[1]))
    try:
        cold.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert cold.process is not None
    assert psutil.Process(cold.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == min(1_024, before[1])
