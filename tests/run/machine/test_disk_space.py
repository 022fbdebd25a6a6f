"""bertd.run.machine.disk_space: free space is checked before a run and before each checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.errors import StorageError
from bertd.run.machine.disk_space import (
    RESERVE_BYTES,
    DiskSpace,
    classify_disk_space,
    estimate_disk_need,
    require_disk_space,
)
from bertd.run.recipe.schema import CheckpointSection

NEED = estimate_disk_need(CheckpointSection(keep=3, markers=[0.25, 0.5]), num_parameters=335_000_000)


def test_a_run_needs_all_it_keeps_and_one_more() -> None:
    assert (NEED.num_checkpoints, NEED.num_exports) == (3 + 2 + 1 + 1, 3)
    assert NEED.total_bytes == pytest.approx(7 * 4.02e9 + 3 * 1.34e9 + RESERVE_BYTES, rel=1e-4)


def test_a_run_that_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(StorageError) as caught:
        require_disk_space(NEED, free_bytes=20_000_000_000, used_bytes=4_000_000_000, folder=Path("/state/runs/7"))

    assert str(caught.value) == (
        "/state/runs/7: 20.0 GB free, about 28.2 GB needed for 7 checkpoints of 4.02 GB (3 newest, 2 of markers, the "
        "best, one being written) and 3 exports of 1.34 GB; free space, or --set checkpoint.keep=1"
    )


def test_what_a_run_holds_already_is_not_asked_for_again() -> None:
    free_bytes = 5_000_000_000

    require_disk_space(NEED, free_bytes=free_bytes, used_bytes=NEED.total_bytes - free_bytes, folder=Path("/r"))
    require_disk_space(NEED, free_bytes=0, used_bytes=NEED.total_bytes + 1, folder=Path("/r"))
    with pytest.raises(StorageError):
        require_disk_space(NEED, free_bytes=free_bytes, used_bytes=NEED.total_bytes - free_bytes - 1, folder=Path("/r"))


@pytest.mark.parametrize(
    ("free_bytes", "prunable_bytes", "room"),
    [
        (RESERVE_BYTES + 100, 0, DiskSpace.ENOUGH),
        (RESERVE_BYTES + 99, 0, DiskSpace.NONE),
        (RESERVE_BYTES + 99, 1, DiskSpace.AFTER_PRUNING),
        (0, RESERVE_BYTES + 99, DiskSpace.NONE),
        (0, RESERVE_BYTES + 100, DiskSpace.AFTER_PRUNING),
    ],
)
def test_a_checkpoint_leaves_the_reserve_alone(free_bytes: int, prunable_bytes: int, room: DiskSpace) -> None:
    assert classify_disk_space(needed_bytes=100, free_bytes=free_bytes, prunable_bytes=prunable_bytes) is room
