"""`bertd gc`: lists, and deletes only when it is told to."""

from __future__ import annotations

import json

from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


def test_it_lists_and_deletes_nothing_by_itself(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("gc", "--older-than", "7d")
    assert said.code == 0
    assert "2 x checkpoint" in said.out and "8.4 GiB would be freed" in said.out
    assert said.err == "nothing was deleted; the same with --delete deletes it\n"
    [request] = daemon.requests
    assert (request.method, request.query["older_than_s"]) == ("GET", ["604800.0"])


def test_delete_deletes_and_says_what_was_freed(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert "8.4 GiB was freed" in bertd("gc", "3", "--delete", "--all-checkpoints").out
    [request] = daemon.requests
    assert json.loads(request.body) == {"jobs": ["3"], "older_than_s": 0.0, "all_checkpoints": True}
    assert json.loads(bertd("gc", "--delete", "--json").out)[2]["what"] == "state after an epoch"


def test_nothing_to_delete_is_said(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.garbage = []
    assert bertd("gc").out == "ended jobs have nothing on the disk that is not needed\n"
    assert bertd("gc", "--older-than", "soon").code == 2
