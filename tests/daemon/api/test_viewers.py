"""What a user who may only read learns of others: nothing of the environment of their commands, over any route."""

from __future__ import annotations

import logging
import os
from typing import Any
from urllib.parse import quote

import pytest

from bertd.api.models import SubmitCommand
from tests.daemon.api.in_process_api import InProcessApi

SECRET = "hunter2-s3cret"
VIEWER = 54321
_STREAMS = ("/v1/events",)
"""They have what /v1/event-log and /v1/status have."""


def command(**changes: Any) -> dict[str, Any]:
    order = SubmitCommand(argv=["true"], cwd="/", environment={"PATH": "/bin", "NOTE": SECRET}, hold=True)
    return order.model_dump(mode="json") | changes


def everything_that_can_be_read(api: InProcessApi) -> dict[str, bytes]:
    """The answer to a GET of each path in the document, with each name that its parameter may have."""
    paths = api.ask("GET", "/openapi.json").json["paths"]
    answers = {}
    for path, operations in paths.items():
        if "get" not in operations or path in _STREAMS:
            continue
        for name in ("1", "2", "@", "true"):
            target = path.replace("{id}", name).replace("{name}", name)
            for query in ("", f"?run={name}", f"?job={name}", f"?user={os.getuid()}"):
                answer = api.ask("GET", target + query)
                assert answer.status in (200, 403, 404, 409, 422), (target, query, answer.content)
                answers[target + query] = answer.content
    return answers


@pytest.fixture
def submitted(api: InProcessApi, caplog: pytest.LogCaptureFixture) -> InProcessApi:
    """Commands with a secret: one that waits, one that was stopped, and all ways to have one refused."""
    caplog.set_level(logging.DEBUG)
    first = api.ask("POST", "/v1/jobs", command(), headers={"Idempotency-Key": "k"})
    assert first.status == 201
    assert api.ask("POST", "/v1/jobs", command()).status == 201
    assert api.ask("POST", "/v1/jobs/2/stop").status == 202
    refused: list[dict[str, Any]] = [
        {"argv": ["no-such-program"]},
        {"argv": []},
        {"cwd": "/no/such/folder"},
        {"cwd": "not-absolute"},
        {"cpus": 60_000},
        {"devices": 60_000},
        {"run": "no-such-run"},
        {"after": ["no-such-job"]},
        {"begin": "never"},
        {"priority": "high"},
        {"environment": {"A": [SECRET]}},
        {"environment": {"A": f"{SECRET}\0"}},
        {"environment": {"": SECRET}},
        {"environment": {"A=B": SECRET}},
        {"environment": {"WANDB_API_KEY": SECRET}},
        {"environment": [SECRET]},
        {"environment": SECRET},
        {"environment": {"A": f"{SECRET}\ud800"}},
        {"kind": "pretrain"},
        {"kind": "nope"},
    ]
    for changes in refused:
        answer = api.ask("POST", "/v1/jobs", command(**changes))
        assert 400 <= answer.status < 500, (changes, answer.content)
    # The same key for another request.
    assert api.ask("POST", "/v1/jobs", command(argv=["false"]), headers={"Idempotency-Key": "k"}).status == 409
    return api


def test_a_viewer_reads_nothing_of_the_environment_of_anothers_command(submitted: InProcessApi) -> None:
    submitted.uid = VIEWER
    answers = everything_that_can_be_read(submitted)
    assert len(answers) > 100
    assert [target for target, content in answers.items() if SECRET.encode() in content] == []
    assert b"no-such-program" not in answers["/v1/audit"], "only operators see the requests of others"


def test_not_even_an_operator_is_shown_it_and_neither_is_who_reads_the_log(
    submitted: InProcessApi, caplog: pytest.LogCaptureFixture
) -> None:
    answers = everything_that_can_be_read(submitted)
    secret_in = [target for target, content in answers.items() if SECRET.encode() in content]
    assert secret_in == []
    assert len(submitted.ask("GET", "/v1/audit").json) >= 23, "each request is in the audit, also those refused"
    assert SECRET not in caplog.text


def test_it_is_in_one_file_that_the_daemons_user_alone_may_read(submitted: InProcessApi) -> None:
    root = submitted.database.path.parent
    holders = [path for path in root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holders, "the commands are there"
    assert {path.name for path in holders} == {"command.json"}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def test_a_viewer_gets_no_copy_of_the_queue_and_no_answer_of_anothers_key(submitted: InProcessApi) -> None:
    submitted.uid = VIEWER
    assert submitted.ask("GET", "/v1/queue-copy").status == 403
    repeated = submitted.ask("POST", "/v1/jobs", command(), headers={"Idempotency-Key": "k"})
    assert repeated.status == 403 and b"command" not in repeated.content
    assert submitted.ask("GET", f"/v1/audit?user={os.getuid()}").status == 403
    assert [row["uid"] for row in submitted.ask("GET", f"/v1/audit?user={VIEWER}").json] == [VIEWER]


def test_a_client_learns_whether_it_may_change_things(api: InProcessApi) -> None:
    assert api.ask("GET", "/v1/version").json["is_operator"] is True
    api.uid = VIEWER
    assert api.ask("GET", "/v1/version").json["is_operator"] is False
    assert api.ask("GET", "/v1/status").json["version"]["is_operator"] is None, "one status is sent to all"


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\x9b31m", "\x00", "%1b%5b", "../../etc"])
def test_a_name_that_nobody_has_is_quoted_without_control_characters(api: InProcessApi, text: str) -> None:
    for path in ("/v1/jobs/", "/v1/runs/", "/v1/sweeps/"):
        answer = api.ask("GET", path + quote(text))
        assert answer.status in (404, 422)
