"""`bertd hooks`: a row for each hook, and a test that says what became of it."""

from __future__ import annotations

import json

from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


def test_a_row_for_each_hook_with_its_newest_outcome(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.hooks = [samples.hooks()[0].model_copy(update={"newest_test": None, "num_waiting": 3})]
    _, row = bertd("hooks").out.splitlines()
    assert row.split()[:3] == ["mail", "command", "/usr/local/bin/notify"]
    assert "failed delivered in 2 attempts: exit status 0 after 0.1 s; 3 waiting" in row
    assert json.loads(bertd("hooks", "--json").out)[0]["newest"]["event_id"] == 31
    daemon.hooks = []
    assert bertd("hooks").out == "no hooks are configured; docs/hooks.md says how\n"
    assert bertd("hooks", "test").out == "no hooks are configured; docs/hooks.md says how\n"


def test_a_test_says_what_became_of_it(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("hooks", "test", "mail")
    assert (said.code, said.out) == (0, "mail: delivered: exit status 0 after 0.1 s\n")
    assert daemon.requests[0].path == "/v1/hooks/mail/test"


def test_a_test_that_failed_is_an_error_and_names_the_hook(bertd: Bertd, daemon: FakeDaemon) -> None:
    [hook] = samples.hooks()
    assert hook.newest_test is not None
    failed = hook.newest_test.model_copy(update={"is_delivered": False, "detail": "/n: exit status 3: no route"})
    daemon.hooks = [hook.model_copy(update={"newest_test": failed})]
    said = bertd("hooks", "test")
    assert (said.code, said.out) == (1, "mail: failed: /n: exit status 3: no route\n")
    assert said.err == "bertd: mail: the test event was not delivered\n"
    assert json.loads(bertd("hooks", "test", "--json").out)[0]["event_id"] == 40
