"""Gate rows B1, B4: a save is killed, or its system call fails, at each system call in turn."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.train.checkpoint.format import find_checkpoint
from bertd.train.checkpoint.staging import StagedTensors
from tests.faults.invariants import is_valid_checkpoint
from tests.faults.saving import REFUSED, complete, names, save, save_under_strace, tiny_tensors
from tests.faults.tally import Tally

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: apt-get install strace")
LONG = pytest.mark.faults
MOST_CALLS = 40
"""Largest number of calls of one kind in one save; the loop ends by itself long before."""


@pytest.fixture(scope="module")
def tensors() -> Iterator[StagedTensors]:
    """The tensors that every case saves."""
    yield tiny_tensors()


def assert_old_or_new(root: Path) -> None:
    """Each visible checkpoint is valid, and a start finds one."""
    assert all(is_valid_checkpoint(root / name) for name in complete(root))
    found = find_checkpoint(root)
    assert found is not None and found.skipped == []


@pytest.mark.parametrize(
    "call",
    [
        "fsync",
        "rename",
        pytest.param("mkdir", marks=LONG),
        pytest.param("openat", marks=LONG),
        pytest.param("write", marks=LONG),
    ],
)
def test_a_save_killed_at_any_call_leaves_the_old_checkpoint_or_the_new(
    tmp_path: Path, tensors: StagedTensors, tally: Tally, call: str
) -> None:
    kills = 0
    for number in range(1, MOST_CALLS):
        root = tmp_path / f"{call}-{number}"
        save(root, tensors, step=1)
        tally.fault()
        inject = f"{call}:signal=SIGKILL:when={number}"
        saved = save_under_strace(root, tensors, step=3, inject=inject, folder=tmp_path)
        assert_old_or_new(root)
        if saved.status == 0:
            assert complete(root) == names(1, 3)
            break
        kills += 1
        assert saved.status == -signal.SIGKILL
        # The leftovers do not disturb the next save, even by a process with the same pid.
        save(root, tensors, step=3)
        assert complete(root) == names(1, 3)
        assert_old_or_new(root)
        tally.sound()
    assert kills > 0
    assert saved.status == 0


@LONG
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EROFS"])
@pytest.mark.parametrize("call", ["mkdir", "write", "fsync", "rename"])
def test_a_save_refused_at_any_call_is_an_error_and_leaves_nothing_half(
    tmp_path: Path, tensors: StagedTensors, tally: Tally, call: str, error: str
) -> None:
    refusals = 0
    for number in range(1, MOST_CALLS):
        root = tmp_path / f"{call}-{number}"
        save(root, tensors, step=1)
        tally.fault()
        inject = f"{call}:error={error}:when={number}"
        saved = save_under_strace(root, tensors, step=3, inject=inject, folder=tmp_path)
        assert_old_or_new(root)
        tally.sound()
        if not saved.was_hit:
            break
        if call == "mkdir" and number == 1:
            # This mkdir is of the folder of all checkpoints, which exists already.
            continue
        refusals += 1
        # The last fsync is of the folder, after the rename: if it fails, the new checkpoint may exist, and is valid.
        assert saved.status == REFUSED
        assert complete(root) in (names(1), names(1, 3))
        assert [entry.name for entry in root.iterdir() if entry.name.startswith(".tmp-")] == []
    assert refusals > 0
    assert saved.status == 0
