"""What the daemon makes in its state folder, whose folders it refuses, and what it says where its queue is gone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bertd.api.client import Client
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")


def with_a_run(box: DaemonBox) -> str:
    """Name of a run that is over; the daemon has ended."""
    box.start()
    job = box.submit(steps=3)
    box.wait_for_state(job.id, JobState.DONE)
    assert box.stop() == 0
    return box.run_paths(job.id).root.name


def test_nothing_below_it_is_open_to_others_whatever_the_umask(cold: DaemonBox) -> None:
    before = os.umask(0)
    try:
        cold.state.root.mkdir(mode=0o755)
        cold.state.queue.touch(mode=0o644)
        with_a_run(cold)
    finally:
        os.umask(before)
    made = [entry for entry in cold.state.root.rglob("*") if entry.is_file() or entry.is_dir()]
    assert len(made) > 8
    assert {str(entry): oct(entry.stat().st_mode) for entry in made if entry.stat().st_mode & stat.S_IRWXO} == {}


@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_one_that_everybody_may_write_is_refused(cold: DaemonBox, mode: int) -> None:
    cold.state.root.mkdir()
    cold.state.root.chmod(mode)
    cold.spawn()
    assert cold.exit_code() == 78
    assert f"{cold.state.root}: is not a safe state folder: every user may write there" in cold.log
    assert list(cold.state.root.iterdir()) == []


@needs_root
def test_one_of_another_user_is_refused_also_through_a_link(cold: DaemonBox) -> None:
    theirs = cold.folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    cold.state.root.symlink_to(theirs)
    cold.spawn()
    assert cold.exit_code() == 78
    assert "is not a safe state folder: it belongs to user nobody" in cold.log
    assert list(theirs.iterdir()) == []


@needs_root
def test_a_socket_in_a_folder_of_another_user_is_refused(cold: DaemonBox) -> None:
    theirs = cold.folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    cold.spawn(socket=str(theirs / "bertd.sock"))
    assert cold.exit_code() == 78
    assert f"{theirs}: is not a safe folder for the socket: it belongs to user nobody" in cold.log
    assert list(theirs.iterdir()) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_in_place_of_the_queue_is_refused_and_nothing_written_behind_it(
    cold: DaemonBox, tmp_path: Path, is_there: bool
) -> None:
    target = tmp_path / "precious"
    if is_there:
        target.touch()
    cold.state.root.mkdir()
    cold.state.queue.symlink_to(target)
    cold.spawn()
    assert cold.exit_code() == 78
    assert f"{cold.state.queue}: is a symbolic link" in cold.log
    assert target.exists() is is_there and (not is_there or target.stat().st_size == 0)


def test_an_empty_queue_beside_run_folders_is_refused_and_names_them(cold: DaemonBox) -> None:
    name = with_a_run(cold)
    cold.state.queue.write_bytes(b"")
    cold.spawn()
    assert cold.exit_code() == 78
    assert f"the queue is damaged: it is empty, but {cold.state.runs} has 1 run folder: {name}" in cold.log
    assert cold.state.queue.stat().st_size == 0


def test_a_queue_that_is_gone_is_made_again_and_an_alert_names_the_run_folders(cold: DaemonBox) -> None:
    name = with_a_run(cold)
    cold.state.queue.unlink()
    cold.start()
    (alert,) = [event for event in cold.events() if event.type == "alert"]
    assert f"has 1 run folder: {name}, of which the queue knows nothing" in alert.text
    assert Client(cold.socket).jobs() == []
    assert cold.stop() == 0
    cold.start()
    assert len([event for event in cold.events() if event.type == "alert"]) == 1, "it is reported once"
