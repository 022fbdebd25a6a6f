"""Whose folders the daemon uses, and whose answers a client believes. Most need root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.run.machine.trusted_folders import find_intruder_risk, is_listener_trusted

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of this user below one of this user."""
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True, mode=0o755)
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o775, 0o1777])
def test_a_folder_that_others_cannot_change_is_safe(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert find_intruder_risk(folder) is None


def test_a_folder_that_everybody_may_write_is_not(folder: Path) -> None:
    folder.chmod(0o777)
    assert find_intruder_risk(folder) == "every user may write there (mode 0777); chmod o-w it"


def test_nor_is_one_that_everybody_may_replace_also_through_a_link(folder: Path, tmp_path: Path) -> None:
    folder.parent.chmod(0o777)
    (tmp_path / "link").symlink_to(folder)
    for place in (folder, tmp_path / "link"):
        assert f"{folder.parent} has mode 0777" in (find_intruder_risk(place) or "")
    folder.parent.chmod(0o1777)
    assert find_intruder_risk(folder) is None


@needs_root
def test_nor_is_one_of_another_user_also_through_a_link(folder: Path, tmp_path: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)
    (tmp_path / "link").symlink_to(folder)
    for place in (folder, tmp_path / "link"):
        assert "it belongs to user nobody" in (find_intruder_risk(place) or "")


def test_root_and_the_own_user_are_believed_wherever_they_listen(folder: Path) -> None:
    folder.chmod(0o777)
    for uid in (0, os.geteuid()):
        assert is_listener_trusted(folder / "a.sock", uid=uid)


def test_another_user_is_not_believed_in_a_folder_of_ones_own(folder: Path) -> None:
    folder.chmod(0o1777)
    assert not is_listener_trusted(folder / "a.sock", uid=NOBODY)


@needs_root
@pytest.mark.parametrize(
    ("mode", "mode_above", "is_trusted"),
    [(0o750, 0o755, True), (0o750, 0o1777, False), (0o777, 0o755, False), (0o1777, 0o755, False)],
)
def test_a_services_user_is_believed_in_the_folder_that_root_gave_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, mode_above: int, is_trusted: bool
) -> None:
    above = Path("/run") / f"bertd-test-{os.getpid()}"
    above.mkdir()
    try:
        folder = above / "bertd"
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(mode)
        above.chmod(mode_above)
        assert is_listener_trusted(folder / "bertd.sock", uid=NOBODY) is is_trusted
        assert not is_listener_trusted(folder / "bertd.sock", uid=NOBODY - 1)
    finally:
        folder.rmdir()
        above.rmdir()
