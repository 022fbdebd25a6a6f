"""The disk is judged before a run and before each checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.errors import StorageError
from bertd.run.disk_guard import RESERVE_BYTES, Room, judge_room, need_of_run, require_room
from bertd.run.recipe import CheckpointSection

NEED = need_of_run(CheckpointSection(keep=3, markers=[0.25, 0.5]), num_parameters=335_000_000)


def test_a_run_needs_all_it_keeps_and_one_more() -> None:
    assert (NEED.num_checkpoints, NEED.num_exports) == (3 + 2 + 1 + 1, 3)
    assert NEED.total_bytes == pytest.approx(7 * 4.02e9 + 3 * 1.34e9 + RESERVE_BYTES, rel=1e-4)


def test_a_run_that_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(StorageError) as caught:
        require_room(NEED, free_bytes=20_000_000_000, held_bytes=4_000_000_000, folder=Path("/state/runs/7"))

    assert str(caught.value) == (
        "/state/runs/7: 20.0 GB free, about 28.2 GB needed for 7 checkpoints of 4.02 GB (3 newest, 2 of markers, the "
        "best, one being written) and 3 exports of 1.34 GB; free space, or --set checkpoint.keep=1"
    )


def test_what_a_run_holds_already_is_not_asked_for_again() -> None:
    free_bytes = 5_000_000_000

    require_room(NEED, free_bytes=free_bytes, held_bytes=NEED.total_bytes - free_bytes, folder=Path("/r"))
    require_room(NEED, free_bytes=0, held_bytes=NEED.total_bytes + 1, folder=Path("/r"))
    with pytest.raises(StorageError):
        require_room(NEED, free_bytes=free_bytes, held_bytes=NEED.total_bytes - free_bytes - 1, folder=Path("/r"))


@pytest.mark.parametrize(
    ("free_bytes", "prunable_bytes", "room"),
    [
        (RESERVE_BYTES + 100, 0, Room.ENOUGH),
        (RESERVE_BYTES + 99, 0, Room.NONE),
        (RESERVE_BYTES + 99, 1, Room.AFTER_PRUNING),
        (0, RESERVE_BYTES + 99, Room.NONE),
        (0, RESERVE_BYTES + 100, Room.AFTER_PRUNING),
    ],
)
def test_a_checkpoint_leaves_the_reserve_alone(free_bytes: int, prunable_bytes: int, room: Room) -> None:
    assert judge_room(needed_bytes=100, free_bytes=free_bytes, prunable_bytes=prunable_bytes) is room
