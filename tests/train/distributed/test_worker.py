"""What a failing rank reports: in the log, in the journal, and to the runner by its exit status."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from bertd.errors import ShardError
from bertd.jobs.runner.exit_analysis import classify_exit_code, classify_pretrain_exit
from bertd.jobs.runner.restart_policy import max_restarts
from bertd.records import AlertRecord, ExitClass, JobState, Outcome
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, FailureBoard
from bertd.run.recipe.schema import DevicesSection
from bertd.train.distributed import launch, worker
from bertd.train.distributed import peer_watch as peer_watch_module
from bertd.train.distributed.exit_code import choose_exit_code
from bertd.train.distributed.peer_watch import watch_peers
from bertd.train.distributed.process_group import join_ranks, leave_ranks
from tests.train.rank_processes import start_ranks
from tests.waiting import PATIENCE_S, wait_for

GPU_SAYS = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 11.77 GiB"
ON_GPU = torch.OutOfMemoryError(GPU_SAYS)


def on_cpu() -> RuntimeError:
    """The error that PyTorch raises for more memory than any machine has."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    return caught.value


def test_the_seconds_until_the_first_step_count_from_before_torch_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_import_s, began = list[float](), list[float]()

    def train(*_: object, began_s: float, **__: object) -> None:
        began.append(began_s)

    monkeypatch.setattr(worker, "die_with_parent", lambda _: before_import_s.append(time.monotonic()))
    monkeypatch.setattr(worker, "train", train)
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)

    assert worker.main() == 0

    assert began[0] <= before_import_s[0]


@pytest.mark.parametrize(
    ("rank", "exits", "error", "expected"),
    [
        (0, [71, 1], ON_GPU, f"the GPU's memory is too small: {GPU_SAYS}"),
        (1, [1, 71], ON_GPU, f"the GPU's memory is too small: {GPU_SAYS}"),
        (0, [71, 1], on_cpu(), "the machine's memory is too small: [enforce fail at "),
        (0, [71, 1], MemoryError(), "the machine's memory is too small: MemoryError"),
    ],
)
def test_memory_that_runs_out_on_one_rank_ends_the_run_with_cause_and_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: int,
    exits: list[int],
    error: Exception,
    expected: str,
) -> None:
    def runs_out(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worker, "train", runs_out)
    monkeypatch.setattr(worker, "die_with_parent", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])
    monkeypatch.setenv("RANK", str(rank))

    assert worker.main() == exits[rank]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bertd: rank {rank}: {expected}") and "; lower batch.micro" in line
    # The other lost its peer, and perhaps in the same moment.
    status = choose_exit_code(exits)
    records = read_journal(RunPaths(tmp_path).journal)
    assert [type(record) for record in records] == [AlertRecord] * (rank == 0)
    outcome = classify_pretrain_exit(status, records, shutdown_requested=False)
    assert isinstance(outcome, Outcome) and outcome.state is JobState.FAILED
    assert "memory is too small" in outcome.reason and 'lower batch.micro, or let it be "auto"' in outcome.reason
    assert classify_exit_code(status) is ExitClass.CONFIGURATION and max_restarts(classify_exit_code(status)) == 0


def test_a_compiler_that_fails_ends_the_run_with_cause_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compiles(*_: object, **__: object) -> None:
        raise TorchDynamoException("InvalidCxxCompiler: No working C++ compiler found\n\nSet TORCH_LOGS to see more")

    monkeypatch.setattr(worker, "train", compiles)
    monkeypatch.setattr(worker, "die_with_parent", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])

    status = worker.main()

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("bertd: the compiler failed: InvalidCxxCompiler: No working C++ compiler found")
    assert 'set precision.kernels = "eager"' in last
    (alert,) = read_journal(RunPaths(tmp_path).journal)
    assert isinstance(alert, AlertRecord) and f"bertd: {alert.message}" == last
    assert classify_exit_code(status) is ExitClass.CONFIGURATION and max_restarts(classify_exit_code(status)) == 0


@pytest.mark.parametrize("error", [ShardError("train.tokens: cut short"), RuntimeError("odd\nmore")])
def test_a_rank_that_is_not_the_first_reports_why_it_fails(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worker, "train", fail)
    monkeypatch.setattr(worker, "die_with_parent", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])
    board = FailureBoard()
    monkeypatch.setenv(FAILURES_VARIABLE, board.path)
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        status = worker.main()
    first = board.first(exit_code=status)
    assert first is not None and first.rank == 1
    if isinstance(error, ShardError):
        assert first.message == "train.tokens: cut short"
        assert capsys.readouterr().err == "bertd: train.tokens: cut short\n", "not once for each rank"
    else:
        assert first.message == "rank 1: RuntimeError: odd; its traceback is in logs/job.log"
    board.close()


def test_a_text_reaches_every_rank(tmp_path: Path) -> None:
    ranks = start_ranks(shares_a_text, folder=tmp_path)
    for process in ranks:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in ranks] == [0, 0]


def shares_a_text(rank: int, folder: Path) -> None:
    """Each of two ranks sends the other a text, and nothing."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    ranks = join_ranks(DevicesSection(kind="cpu", count=2), store=folder / "meeting")
    own = f"größe {rank}"
    assert [ranks.broadcast_text(own, source=source) for source in (0, 1)] == ["größe 0", "größe 1"]
    assert ranks.broadcast_text("" if rank == 0 else "x") == ""
    leave_ranks(ranks)


def test_a_rank_that_waits_for_a_dead_one_ends_with_it(tmp_path: Path) -> None:
    ranks = start_ranks(waits_for_ever, folder=tmp_path)

    def are_ready() -> bool:
        assert all(process.is_alive() for process in ranks)
        return len(list(tmp_path.glob("ready-*"))) == 2

    wait_for(are_ready, what="both ranks")
    ranks[1].kill()
    ranks[0].join(PATIENCE_S)

    assert [process.exitcode for process in ranks] == [1, -signal.SIGKILL]


@pytest.mark.long
def test_a_rank_exits_after_a_peers_death_only_when_its_save_is_complete(tmp_path: Path) -> None:
    ranks = start_ranks(writes_for_a_while, folder=tmp_path)
    for process in ranks:
        process.join(PATIENCE_S)

    assert [process.exitcode for process in ranks] == [1, 76]
    assert (tmp_path / "whole").exists()


def writes_for_a_while(rank: int, folder: Path) -> None:
    """Rank 1 dies; rank 0 waits forever while one of its threads writes until long after the watch noticed."""
    peer_watch_module._GRACE_S, peer_watch_module._MAX_WRITE_S = 0.05, PATIENCE_S
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    ranks = join_ranks(DevicesSection(kind="cpu", count=2), store=folder / "meeting")
    with watch_peers(ranks, knows_machines=True) as peer_watch:
        if rank == 1:
            os._exit(76)

        asked = threading.Semaphore(0)

        def write() -> None:
            # The grace period is over when the watch first asks: a rank that did not wait for this would have exited.
            for _ in range(5):
                asked.acquire()
            (folder / "whole").touch()

        def is_writing() -> bool:
            asked.release()
            return writer.is_alive()

        writer = threading.Thread(target=write)
        peer_watch.is_writing = is_writing
        writer.start()
        threading.Event().wait()


def waits_for_ever(rank: int, folder: Path) -> None:
    """Simulate a rank inside an NCCL kernel, which waits forever and does not handle signals."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    ranks = join_ranks(DevicesSection(kind="cpu", count=2), store=folder / "meeting")
    with watch_peers(ranks, knows_machines=True):
        (folder / f"ready-{rank}").touch()
        threading.Event().wait()


class OldAgent:
    """The part of torch 2.11's LocalElasticAgent that ends ranks."""

    def __init__(self, context: object) -> None:
        self._pcontext = context

    def _shutdown(self, death_sig: signal.Signals = signal.SIGTERM) -> None:
        if self._pcontext:
            self._pcontext.close(death_sig)  # type: ignore[attr-defined]


def test_ranks_have_time_to_save_under_a_torch_without_a_shutdown_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[tuple[signal.Signals, int]] = []

    class Context:
        def close(self, death_sig: signal.Signals, timeout: int = 30) -> None:
            closed.append((death_sig, timeout))

    monkeypatch.setattr(launch, "LaunchConfig", type("LaunchConfig", (), {"__dataclass_fields__": {}}))
    launch.extend_shutdown_timeout(OldAgent)  # type: ignore[arg-type]
    OldAgent(Context())._shutdown(signal.SIGINT)
    OldAgent(None)._shutdown()

    assert closed == [(signal.SIGINT, 150)]


@pytest.mark.parametrize(
    ("exit_codes", "status"),
    [([1], 1), ([-9], 137), ([1, -9], 137), ([-6, 76], 76), ([1, 1], 1), ([65, 65], 65)],
)
def test_the_exit_code_that_explains_the_others_is_chosen(exit_codes: list[int], status: int) -> None:
    assert choose_exit_code(exit_codes) == status
