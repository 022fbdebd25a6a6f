"""GET /v1/hooks and POST /v1/hooks/{name}/test, with a real program."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.api.in_process_api import InProcessApi
from tests.waiting import wait_for


def configure(api: InProcessApi, folder: Path) -> Path:
    """A hook that writes what it gets, and one that fails; returns where it writes."""
    program, got = folder / "notify", folder / "got.json"
    program.write_text(f"#!/bin/sh\ncat > {got}.part && mv {got}.part {got}\n")
    program.chmod(0o755)
    (folder / "bertd.toml").write_text(
        f"[[hooks]]\nname = 'mail'\ncommand = ['{program}', 'token']\non = ['failed']\ntimeout_s = 300\n"
        "[[hooks]]\nname = 'broken'\ncommand = ['/bin/false']\non = ['done']\ntimeout_s = 300\n"
    )
    api.services.configuration.reload()
    return got


def test_a_test_reaches_the_program_and_its_outcome_is_listed(api: InProcessApi, tmp_path: Path) -> None:
    assert api.ask("GET", "/v1/hooks").json == []
    got = configure(api, tmp_path)
    asked = {name: api.ask("POST", f"/v1/hooks/{name}/test").json["event_id"] for name in ("mail", "broken")}

    def have_outcomes() -> bool:
        api.services.hooks.advance()
        return all(row["newest_test"] for row in api.ask("GET", "/v1/hooks").json)

    wait_for(have_outcomes, what="the outcomes of both tests")
    mail, broken = api.ask("GET", "/v1/hooks").json
    assert (mail["target"], mail["events"], mail["newest"]) == (str(tmp_path / "notify"), ["failed"], None)
    assert mail["newest_test"]["is_delivered"] and mail["newest_test"]["event_id"] == asked["mail"]
    assert broken["newest_test"]["detail"] == "/bin/false: exit status 1"
    assert json.loads(got.read_text())["id"] == asked["mail"]
    (tmp_path / "bertd.toml").write_text("")
    api.services.configuration.reload()
    api.services.hooks.advance()
    assert api.ask("GET", "/v1/hooks").json == []


def test_a_hook_that_is_not_there_is_404_and_a_viewer_may_test_none(api: InProcessApi, tmp_path: Path) -> None:
    configure(api, tmp_path)
    refused = api.ask("POST", "/v1/hooks/chat/test")
    assert (refused.status, refused.json["code"]) == (404, "UnknownHookError")
    assert "there are: mail, broken" in refused.json["message"]
    api.uid = 54321
    assert api.ask("POST", "/v1/hooks/mail/test").status == 403
    assert "token" not in api.ask("GET", "/v1/hooks").content.decode()
    assert "token" not in api.ask("GET", "/v1/configuration").content.decode()
