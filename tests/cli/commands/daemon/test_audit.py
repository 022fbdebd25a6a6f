"""`bertd audit`: a row for each request, and what it asks the daemon for."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


def test_a_row_for_each_request_with_its_outcome(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("audit", "--user", "eve", "--limit", "5")
    assert said.code == 0
    refused, done = said.out.splitlines()[1:]
    assert refused.split(maxsplit=6)[2:] == ["eve", "POST", "jobs/7/stop", "403", "uid 1007: may read but not change"]
    assert done.split()[2:] == ["ada", "POST", "jobs", "201", "done"]
    [request] = daemon.requests
    assert request.query == {"limit": ["5"], "user": ["eve"]}


def test_since_is_a_time_before_now(bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert json.loads(bertd("audit", "--since", "5min", "--json").out)[1]["outcome"] == "done"
    assert daemon.requests[0].query["since"] == ["700.0"]
    daemon.audit = []
    assert bertd("audit").out == "nobody has asked to change anything\n"
