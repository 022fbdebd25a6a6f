"""Gate rows G7, C6: two real ranks listen on the loopback interface alone; memory that runs out on one ends the run.

python -m tests.faults.test_two_ranks RUN_FOLDER pretrain      the runner of such ranks
"""

from __future__ import annotations

import ipaddress
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bertd.jobs.runner.__main__ import main
from bertd.jobs.runner.run_job import RunnerConfig
from bertd.records import EndRecord, JobState
from bertd.run.paths import RunPaths
from tests.daemon.daemon_box import DaemonBox
from tests.faults.real_run import RealRun
from tests.jobs.runner_box import with_tests_on_path

pytestmark = pytest.mark.faults

RANK = """#!{python}
import os, runpy, sys
from bertd.train.distributed.worker import die_with_parent
die_with_parent()
import torch
from bertd.train.loop.train_step import TrainStep

update = TrainStep.update

def runs_out(self, **options):
    if os.environ["RANK"] == "1" and os.path.exists({go!r}):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    update(self, **options)

TrainStep.update = runs_out
module, sys.argv = sys.argv[2], sys.argv[2:]
runpy.run_module(module, run_name="__main__")
"""
"""Replaces the Python with which the launcher starts the ranks: `-m bertd.train.distributed.worker ...`."""


def launch(paths: RunPaths, attempt: int) -> list[str]:
    """The real launcher, with another program for its ranks."""
    rank = str(paths.root.with_name("rank"))
    program = (
        f"import sys; sys.executable = {rank!r}; from bertd.train.distributed.launch import main; sys.exit(main())"
    )
    return [sys.executable, "-c", program, str(paths.root), "--attempt", str(attempt)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def run(folder: Path, dataset: Path) -> Iterator[RealRun]:
    """Two ranks that train until the file `go` is there."""
    run = RealRun(folder / "1-tiny", dataset, steps=10_000_000, count=2)
    rank = folder / "rank"
    rank.write_text(RANK.format(python=sys.executable, go=str(folder / "go")))
    rank.chmod(0o755)
    command = [sys.executable, "-m", "tests.faults.test_two_ranks", str(run.paths.root), "pretrain"]
    with run.paths.log.open("ab") as log:
        run.process = subprocess.Popen(command, stdout=log, stderr=log, env=with_tests_on_path())
    yield run
    run.kill()


def internet_sockets(process: psutil.Process) -> list[tuple[str, str]]:
    """Local address and state of each TCP and UDP socket that a process has open."""
    return [(each.laddr.ip, each.status) for each in process.net_connections(kind="inet") if each.laddr]


def is_loopback(address: str) -> bool:
    """Whether an address is loopback, also if it is an IPv4 address mapped to IPv6."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def test_they_listen_on_the_loopback_interface_alone(run: RealRun) -> None:
    run.wait_for_steps(attempt=1, steps=1)
    assert run.process is not None
    runner = psutil.Process(run.process.pid)
    found = [each for process in [runner, *runner.children(recursive=True)] for each in internet_sockets(process)]
    # Without any socket these would be the wrong processes, because the ranks must have connected.
    assert {state for _, state in found} >= {psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED}
    assert all(is_loopback(address) for address, _ in found), found


def test_memory_that_runs_out_on_one_of_them_ends_the_run_at_once(run: RealRun, folder: Path) -> None:
    run.wait_for_steps(attempt=1, steps=1)
    (folder / "go").touch()
    outcome = run.outcome()
    assert outcome.state is JobState.FAILED and outcome.exit_code == 71, (outcome, run.log)
    assert outcome.reason.startswith("rank 1: the GPU's memory is too small: "), outcome.reason
    assert "lower batch.micro" in outcome.reason
    assert "rank 1: the GPU's memory is too small: CUDA out of memory. Tried to allocate 2.00 GiB" in run.log
    assert [record.kind for record in run.records].count("start") == 1
    assert isinstance(run.records[-1], EndRecord)


def test_the_daemon_has_one_socket_in_the_file_system_and_no_other(tmp_path: Path) -> None:
    box = DaemonBox(tmp_path)
    try:
        box.start()
        assert box.process is not None
        assert internet_sockets(psutil.Process(box.process.pid)) == []
        mode = box.socket.stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    finally:
        box.clean_up()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], config=RunnerConfig(launch=launch)))
