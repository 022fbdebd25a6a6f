"""A job's files replaced by what would hold or mislead the daemon: each reader refuses it, by its kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bertd.daemon.api.job_log import read_log_page
from bertd.errors import BertdError
from bertd.jobs.runner.run_job import job_lock
from bertd.records import StateRecord
from bertd.run.bounded_read import open_regular, read_bounded
from bertd.run.journal import JournalReader, append_records, read_scores
from bertd.run.journal_digest import hash_tail
from bertd.run.paths import JobPaths, RunPaths
from bertd.run.recipe.load import read_recipe


def _lock(path: Path) -> None:
    with job_lock(JobPaths(path.parent.parent)):
        pass


READERS: dict[str, Callable[[Path], object]] = {
    "JournalReader": lambda path: JournalReader(path).read(),
    "JournalWriter": lambda path: append_records(path, list[StateRecord]()),
    "read_scores": read_scores,
    "hash_tail": lambda path: hash_tail(path, end=10),
    "read_bounded": read_bounded,
    "read_log_page": lambda path: read_log_page(path, offset=0, limit=10),
    "job_lock": _lock,
}


def _replace(path: Path, kind: str) -> None:
    """Put a thing of this kind there."""
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case "a link to a secret":
            secret = path.with_name("secret")
            secret.write_text("root:$6$salt$hash")
            path.symlink_to(secret)
        case "a link to a device":
            path.symlink_to("/dev/zero")
        case "a link to itself":
            path.symlink_to(path)


KINDS = ("a pipe", "a folder", "a link to a secret", "a link to a device", "a link to itself")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_it_is_refused_at_once_with_its_path(tmp_path: Path, reader: str, kind: str) -> None:
    paths = JobPaths(tmp_path / "job")
    paths.logs.mkdir(parents=True)
    _replace(paths.log, kind)
    with pytest.raises((BertdError, OSError)) as caught:
        READERS[reader](paths.log)
    assert str(paths.log) in str(caught.value)
    if kind == "a pipe":
        assert "not a file" in str(caught.value) or "No such device" in str(caught.value)
    if kind == "a link to a secret":
        assert "symbolic link" in str(caught.value)


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link to a device", "a link to itself"])
def test_a_run_s_recipe_is_no_pipe_and_no_device(tmp_path: Path, kind: str) -> None:
    _replace(RunPaths(tmp_path).recipe, kind)
    with pytest.raises(BertdError, match="cannot read the recipe"):
        read_recipe(RunPaths(tmp_path).recipe)


def test_a_file_is_opened_and_made_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    os.close(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    path.write_text("text")
    assert read_bounded(path) == b"text"


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
