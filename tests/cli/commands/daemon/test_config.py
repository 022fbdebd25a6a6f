"""`bertd config`: the daemon's own values, and without one those of a start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


def test_a_row_for_each_key_with_its_origin_and_what_waits_for_a_start(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("config")
    assert said.code == 0
    header, kept, waiting = said.out.splitlines()
    assert header.split() == ["KEY", "VALUE", "FROM"]
    assert kept.split() == ["daemon.keep_running_on_stop", "false", "default"]
    assert waiting.split(maxsplit=2) == [
        "devices.finetunings_per_gpu",
        "unset",
        "/etc/bertd/bertd.toml says 2: applies when the daemon is started again",
    ]
    assert json.loads(bertd("config", "--json").out)[1]["read"] == 2


def test_without_a_daemon_it_says_so_and_shows_what_a_start_would_have(
    bertd: Bertd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "bertd" / "bertd.toml"
    file.parent.mkdir()
    file.write_text("[limits]\nqueued_jobs_per_user = 12\n")
    said = bertd("config")
    assert (said.code, said.err) == (0, "no daemon answers; this is what `bertd start` would have\n")
    assert f"limits.queued_jobs_per_user  12     {file}" in said.out
    file.write_text("[limits]\nqueued_jobs_per_user = 'many'\n")
    assert bertd("config").code == 78


def test_a_socket_that_was_named_must_answer(bertd: Bertd, tmp_path: Path) -> None:
    assert bertd("config", "--socket", str(tmp_path / "none.sock")).code == 69
